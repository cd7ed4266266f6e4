"""The runs of a comparison: what they were trained on, and what they are worth at their end."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from ml_playground.errors import CheckpointError, PlaygroundError, RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.evaluations import StoredEvaluation
from ml_playground.run.opened import Run
from ml_playground.run.progress import Progress
from ml_playground.run.records import MetricRow, RunRecord
from ml_playground.run.seal import recorded_digest
from ml_playground.run.windows import Windows, predictions, read_windows
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table, has_key

Evaluation = Literal["end", "evaluate"]

_NEEDED = (("train", "runtime", "seed"), ("train", "runtime", "eval_iters"), ("train", "data", "block_size"))
_FAILED = ("diverged", "failed")


@dataclass(frozen=True)
class LeftOut:
    """A run, or all runs of a configuration, that cannot be in the table.

    Attributes:
        name: which.
        reason: why, and what to do.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Measured:
    """What a run is worth on the validation text.

    Attributes:
        loss: in nats per token.
        bits_per_byte: the same in bits per UTF-8 byte of the raw text.
        text: a hash that only the same validation text has.
        token_ids: a hash that only the same text in the same tokens has.
        tokens: how many were predicted; None if that is not known.
        windows: nats in each window, shape (W,); None if they are not kept.
        context: tokens per window.
        stride: tokens from one window to the next.
    """

    loss: float
    bits_per_byte: float
    text: str
    token_ids: str
    tokens: int | None
    windows: Windows | None
    context: int
    stride: int

    @cached_property
    def predictions(self) -> list[int] | None:
        """How many there are in each window; None where no windows are kept, or not all."""
        if self.windows is None or self.tokens is None:
            return None
        found = [int(each) for each in predictions(self.tokens, context=self.context, stride=self.stride)]
        return found if len(found) == len(self.windows) else None


@dataclass(frozen=True)
class Member:
    """A run of a group.

    Attributes:
        run: where it is.
        record: what it was trained on and how.
        progress: how far it is.
        status: how it ended: `finished`, `diverged` or `failed`; or that it is unfinished, where those are read.
        measured: at its end; None if it diverged or failed. Where unfinished runs are read, at its last evaluation.
    """

    run: Run
    record: RunRecord
    progress: Progress
    status: str
    measured: Measured | None = None

    @property
    def name(self) -> str:
        """The path of its folder, as a message shows it."""
        return display_path(self.run.directory.path)

    @property
    def seed(self) -> int:
        """`[train.runtime] seed`."""
        return int(self.record.config["train"]["runtime"]["seed"])

    @property
    def batches(self) -> Table:
        """What decides its batches, besides the seed."""
        data = self.record.config["train"]["data"]
        names = ("batch_size", "block_size", "grad_accum_steps", "sampler")
        return {"data": self.record.data, **{name: data.get(name) for name in names}}

    @cached_property
    def curve(self) -> list[MetricRow]:
        """Its evaluations from the first to that at its end; empty where `metrics.jsonl` lacks the last one."""
        rows = self.run.evaluations()
        return rows if rows and rows[-1].step == self.progress.step else []


def read_members(
    folders: Iterable[Path], evaluation: Evaluation = "end", *, unfinished: bool = False
) -> tuple[list[Member], list[LeftOut]]:
    """The runs in these folders, as far as they can be compared, and why the others cannot.

    Args:
        folders: run directories.
        evaluation: `end` for the exact loss at the end of training, `evaluate` for what `evaluate` has measured.
        unfinished: whether to read all runs that were evaluated at least once, such as those that are still running.
    """
    members: list[Member] = []
    left_out: list[LeftOut] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        try:
            found = _read(Run.open(folder), unfinished=unfinished)
        except RunDirectoryError as error:
            left_out.append(LeftOut(display_path(folder), str(error)))
            continue
        if isinstance(found, LeftOut):
            left_out.append(found)
        else:
            members.append(found)
    if evaluation == "evaluate":
        members, unmeasured = _as_evaluated(members)
        left_out += unmeasured
    return members, left_out


def _read(run: Run, *, unfinished: bool) -> Member | LeftOut:
    """A run that has ended, measured at its end, or any, at its last evaluation.

    Raises RunDirectoryError if a file is damaged.
    """
    name, record, summary = display_path(run.directory.path), run.record, run.summary
    if record is None or summary is None:
        return LeftOut(name, "has no run.json and summary.json: it is not a run, or was trained by an older version")
    if any(not has_key(record.config, key) for key in _NEEDED):
        return LeftOut(name, "was trained by another version, whose options were others")
    end = run.end
    if unfinished and end is None:
        if not (rows := run.evaluations()):
            return LeftOut(name, "has no evaluations in metrics.jsonl")
        end = rows[-1]
    elif run.status in _FAILED:
        return Member(run, record, summary.progress, run.status)
    if end is None:
        how = "is still running" if run.status == "running" else f"was {run.status}"
        return LeftOut(
            name,
            f"{how} after {summary.progress.step:,} of {summary.max_iters:,} steps: 'train', or its sweep, takes it to "
            "its end",
        )
    text, context = record.validation, int(record.config["train"]["data"]["block_size"])
    loss, windows = end.values["val/loss"], run.windows()
    measured = Measured(
        loss=loss,
        bits_per_byte=end.values["val/bits_per_byte"],
        text=record.data if text is None else text.text,
        token_ids=record.data if text is None else text.token_ids,
        tokens=_predicted(windows, loss),
        windows=windows,
        context=context,
        stride=context,
    )
    return Member(run, record, summary.progress, run.status, measured)


def _predicted(windows: Windows | None, loss: float) -> int | None:
    """The number of predictions with this mean loss and these sums; None if the windows are not of this loss."""
    if windows is None or loss <= 0:
        return None
    count = float(windows.sum()) / loss
    return round(count) if math.isclose(count, round(count), rel_tol=1e-9) else None


def _as_evaluated(members: Iterable[Member]) -> tuple[list[Member], list[LeftOut]]:
    """The runs as `evaluate` has measured their last checkpoints, all with the same context and stride.

    Raises:
        PlaygroundError: the runs were not all measured with the same context and stride.
    """
    found: list[tuple[Member, dict[tuple[int, int], Measured]]] = []
    others: list[Member] = []
    left_out: list[LeftOut] = []
    for each in members:
        if each.status != "finished":
            others.append(each)
            continue
        try:
            found.append((each, _evaluated(each)))
        except (RunDirectoryError, CheckpointError) as error:
            left_out.append(LeftOut(each.name, str(error)))
    if not found:
        return others, left_out
    common = [key for key in found[0][1] if all(key in results for _, results in found)]
    if not common:
        stated = "; ".join(f"{each.name}: {_settings(results)}" for each, results in found)
        raise PlaygroundError(
            f"the runs were evaluated with different [evaluate] context and stride ({stated}). Run 'evaluate' with the "
            "same ones for all."
        )
    chosen = max(common, key=lambda key: (key[0] - key[1], key[0]))
    return [*(replace(each, measured=results[chosen]) for each, results in found), *others], left_out


def _evaluated(member: Member) -> dict[tuple[int, int], Measured]:
    """What `evaluate` has measured of the last checkpoint of a run, by context and stride.

    Raises:
        RunDirectoryError: it has measured nothing of this checkpoint, or a file is damaged.
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    run = member.run.directory
    stored = [each for each in member.run.measured() if each.checkpoint == run.last_checkpoint.name]
    if not stored:
        raise RunDirectoryError("is not measured yet: run 'evaluate' with its TOML file")
    digest, step = recorded_digest(run.last_checkpoint), member.progress.step
    current = [each for each in stored if (each.digest, each.step) == (digest, step)]
    if not current:
        raise RunDirectoryError(
            f"'evaluate' has measured another {run.last_checkpoint.name} than is there now: run it again with the "
            "run's TOML file"
        )
    return {(each.context, each.stride): _measured(run, each) for each in current}


def _settings(results: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"context {context}, stride {stride}" for context, stride in sorted(results))


def _measured(run: RunDirectory, result: StoredEvaluation) -> Measured:
    return Measured(
        loss=result.loss,
        bits_per_byte=result.bits_per_byte,
        text=result.text,
        token_ids=result.token_ids,
        tokens=result.tokens,
        windows=read_windows(run.path / result.windows),
        context=result.context,
        stride=result.stride,
    )
