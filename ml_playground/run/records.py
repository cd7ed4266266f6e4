"""The JSON files of a run: for each, one class that writes and reads it.

Nothing here imports torch, so that many runs can be listed quickly.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ml_playground.errors import DamagedCheckpointError, RunDirectoryError
from ml_playground.run.progress import Progress
from ml_playground.utils.files import read_file, write_json
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table, changes

Status = Literal["running", "finished", "stopped", "diverged", "failed"]


@dataclass(frozen=True)
class Summary:
    """`summary.json`: how far a run is, written when it starts and when it ends.

    Attributes:
        status: how it ended; `running` if it has not, or was killed.
        time: when this was written, in UTC.
        max_iters: optimiser steps in total.
        progress: how far it is; in the file its values are top-level keys.
    """

    status: Status
    time: str
    max_iters: int
    progress: Progress

    def write(self, path: Path) -> None:
        """Write it. Raises StorageError if the system refuses."""
        about = {"status": self.status, "time": self.time, "max_iters": self.max_iters}
        write_json(path, {**about, **self.progress.as_json()})

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `write` has written, None where there is no file.

        Raises:
            RunDirectoryError: the file holds something else.
        """
        try:
            values: Table | None = read_record(path, Table)
            if values is None:
                return None
            status, time, max_iters = values["status"], values["time"], values["max_iters"]
            if status not in get_args(Status) or type(time) is not str or type(max_iters) is not int:
                raise _damaged(path)
            return cls(status, time, max_iters, Progress.from_json(values))
        except (KeyError, DamagedCheckpointError) as error:
            raise _damaged(path) from error


@dataclass(frozen=True)
class Machine:
    """What a run is computed on.

    Attributes:
        processor: its name, empty if unknown.
        memory: bytes of main memory, 0 if unknown.
        device: what computes: the GPU's name, or `cpu`.
        system: operating system and architecture.
    """

    processor: str
    memory: int
    device: str
    system: str


@dataclass(frozen=True)
class Commit:
    """The commit of the user's project.

    Attributes:
        id: its hash.
        clean: whether all tracked files are unmodified; None if git did not answer in time.
    """

    id: str
    clean: bool | None


@dataclass(frozen=True)
class Changed:
    """A difference from the previous start.

    Attributes:
        key: such as `[train.optim] learning_rate` or `[versions] torch`.
        before: its value then, None if it had none.
        now: its value now.
    """

    key: str
    before: Any
    now: Any


@dataclass(frozen=True)
class StartRecord:
    """One start of a run.

    Attributes:
        step: optimiser steps already done.
        time: in UTC.
        threads: that compute on the CPU.
        commit: of the project, None outside git.
        changed: what differs from the previous start: options, versions, machine.
    """

    step: int
    time: str
    threads: int
    commit: Commit | None
    changed: list[Changed] = field(default_factory=list[Changed])


@dataclass(frozen=True)
class ValidationText:
    """What the validation losses of a run are measured on.

    Attributes:
        text: a hash of what decides the text, whatever its tokens are: the raw files and how they are read and split.
        token_ids: SHA-256 of `val.bin`.
        bytes: that the raw text has in UTF-8.
    """

    text: str
    token_ids: str
    bytes: int


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: what is trained and on what, now and at each start.

    Attributes:
        toml: the TOML file, relative to its project.
        config: the resolved configuration.
        model_args: what the model is built from.
        model_identity: hash of what else it is made of, such as a user's file.
        data: fingerprint of the prepared data.
        parameters: number of trainable values.
        versions: of this project, Python, the libraries, and the code of parts that are not built in.
        commit: of the user's project, None outside git.
        machine: what the run is computed on.
        threads: that compute on the CPU.
        starts: all of them, in order.
        validation: the validation text; None if it is not recorded.
        table_parameters: those of `parameters` that are in embedding tables, which are looked up, not multiplied; None
            if that is not recorded.
    """

    toml: str | None
    config: Table
    model_args: Table
    model_identity: str | None
    data: str
    parameters: int
    versions: dict[str, str]
    commit: Commit | None
    machine: Machine
    threads: int
    starts: list[StartRecord] = field(default_factory=list[StartRecord])
    validation: ValidationText | None = None
    table_parameters: int | None = None

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    def write(self, path: Path) -> None:
        """Write it. Raises StorageError if the system refuses."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `write` has written, None where there is no file.

        Raises:
            RunDirectoryError: the file holds something else.
        """
        record: Self | None = read_record(path, cls)
        return record

    def started(self, step: int, time: str, before: "RunRecord | None") -> "RunRecord":
        """The record with one more start.

        Args:
            step: optimiser steps already done.
            time: in UTC.
            before: the record of the previous start, None for a new run.
        """
        earlier = [] if before is None else before.starts
        changed = [] if before is None else list(self.changed_since(before))
        return replace(self, starts=[*earlier, StartRecord(step, time, self.threads, self.commit, changed)])

    def changed_since(self, before: "RunRecord") -> Iterator[Changed]:
        """What differs from an earlier record."""
        old, new = (
            {
                **each.config,
                "versions": each.versions,
                "machine": asdict(each.machine),
                "model": {"identity": each.model_identity},
            }
            for each in (before, self)
        )
        for name in dict.fromkeys([*new, *old]):
            for change in changes({name: old.get(name)}, {name: new.get(name)}, ""):
                yield Changed(change.key.replace("[.", "[").removeprefix("[] "), change.before, change.now)


@dataclass(frozen=True)
class MetricRow:
    """A row of `metrics.jsonl`: what was measured after a step.

    Attributes:
        step: optimiser steps done.
        tokens: trained on so far.
        seconds: of training so far; evaluating and saving are not counted.
        flops: floating-point operations so far, by the model's estimate per token.
        values: what was measured, by name, such as `train/loss`; null in the file, and left out here, where it is not
            a finite number.
    """

    step: int
    tokens: int
    seconds: float
    flops: int
    values: dict[str, float]

    @classmethod
    def of(cls, step: int, values: Mapping[str, float]) -> "MetricRow":
        """The row for the values that a sink was given."""
        measured = dict(values)
        tokens, seconds, flops = (measured.pop(name, 0) for name in ("tokens", "seconds", "flops"))
        return cls(step, int(tokens), seconds, int(flops), measured)

    def as_json(self) -> dict[str, Any]:
        """The row as it is in the file."""
        measured = {name: value if math.isfinite(value) else None for name, value in self.values.items()}
        return {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "flops": self.flops, **measured}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "MetricRow":
        """Read what `as_json` returned."""
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
        return cls.of(int(numbers.pop("step")), numbers)


@dataclass(frozen=True)
class SampleRow:
    """A row of `samples.jsonl`: a text and how it was made.

    Attributes:
        time: in UTC.
        checkpoint: name of the file.
        step: optimiser steps that the model was trained for.
        seed: that one command's samples share.
        index: of this sample among them.
        prompt: what the text follows.
        text: what the model wrote.
        options: how tokens were chosen, such as `temperature`; in the file they are top-level keys.
    """

    time: str
    checkpoint: str
    step: int
    seed: int
    index: int
    prompt: str
    text: str
    options: Table

    def as_json(self) -> Table:
        """The row as it is in the file."""
        values = asdict(self)
        options: Table = values.pop("options")
        return {**values, **options}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned. Raises KeyError if a value is missing."""
        known = {each.name: row[each.name] for each in fields(cls) if each.name != "options"}
        return cls(**known, options={key: value for key, value in row.items() if key not in known})


def utc_now() -> str:
    """The time, as the records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_record(path: Path, kind: Any) -> Any:
    """A JSON file validated as a type, None if there is no file. Raises RunDirectoryError."""
    try:
        return _adapter(kind).validate_json(read_file(path))
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError, ValidationError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> RunDirectoryError:
    return RunDirectoryError(f"{display_path(path)} is damaged, or was written by another version of ml_playground")
