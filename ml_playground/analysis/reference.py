"""Where the loss of a known configuration usually ends, so that a training can say whether its own is normal.

A reference lies beside the TOML file that it is of: `reference.json` beside `config.toml`, else
`<name of the file>.reference.json`. It is made of several finished runs that differ in the seed only.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ml_playground.analysis.configs import learned_from
from ml_playground.errors import RunDirectoryError
from ml_playground.run.opened import Run
from ml_playground.run.progress import Progress
from ml_playground.run.records import Machine, RunRecord
from ml_playground.utils.files import read_file, write_json
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table

CONFIDENCE = 0.95
"""Share of further runs that are expected within the band."""

_FEWEST = 5  # runs


@dataclass(frozen=True)
class Expected:
    """The exact validation loss after a step, in nats per token.

    Attributes:
        step: optimiser steps done.
        mean: of the runs.
        sd: their standard deviation.
        low: lower end of the band in which `CONFIDENCE` of further runs are expected (a prediction interval).
        high: its upper end.
    """

    step: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Reference:
    """What several runs of one configuration reached.

    Attributes:
        train: the configuration's `[train]` tables, without options that do not change what is learned.
        data: fingerprint of the prepared data.
        seeds: of the runs.
        evaluations: what is expected at each.
        versions: of this project, Python and the libraries.
        machine: what the runs were computed on.
    """

    train: Table
    data: str
    seeds: list[int]
    evaluations: list[Expected]
    versions: dict[str, str]
    machine: Machine

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Self:
        """The reference that these runs make.

        Raises:
            RunDirectoryError: they are too few, not finished, lack evaluations, or differ in more than the seed.
        """
        records = [_finished(run) for run in runs]
        seeds = _seeds(runs, records)
        if len(seeds) < _FEWEST:
            raise RunDirectoryError(f"a reference needs runs with {_FEWEST} different seeds, there are {len(seeds)}")
        first = records[0]
        train = learned_from(first.config["train"])
        for run, record in zip(runs, records, strict=True):
            same = (record.data, record.model_identity) == (first.data, first.model_identity)
            if not same or learned_from(record.config["train"]) != train:
                raise RunDirectoryError(
                    f"{display_path(run.directory.path)} differs from the others in more than its seed"
                )
            if other := list(_other_surroundings(record, first.versions, first.machine)):
                raise RunDirectoryError(
                    f"{display_path(run.directory.path)} was trained with {', '.join(other)}. Train all runs with the "
                    "same versions on the same machine."
                )
        losses = [_losses(run) for run in runs]
        steps = [step for step in losses[0] if all(step in each for each in losses)]
        evaluations = [_expected(step, [each[step] for each in losses]) for step in steps]
        return cls(train, first.data, sorted(seeds), evaluations, first.versions, first.machine)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `write` has written, None where there is no file.

        Raises:
            RunDirectoryError: the file holds something else.
        """
        try:
            found: Self = TypeAdapter(cls).validate_json(read_file(path))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise RunDirectoryError(f"{display_path(path)} is damaged, or was written by another version") from error
        return found

    def write(self, path: Path) -> None:
        """Write it. Raises StorageError if the system refuses."""
        write_json(path, asdict(self))

    def verdict(self, record: RunRecord, progress: Progress) -> str | None:
        """Whether the loss of a training is as expected, in a line.

        Args:
            record: what is trained, on what and with what.
            progress: how far it is.

        Returns:
            None if it is of another configuration or other data, or was not evaluated at a step of the reference.
        """
        expected = next(
            (each for each in self.evaluations if each.step == progress.evaluated_at == progress.step), None
        )
        if expected is None or (learned_from(record.config["train"]), record.data) != (self.train, self.data):
            return None
        band = (
            f"{expected.low:.4f} to {expected.high:.4f}, where {CONFIDENCE:.0%} of runs end ({len(self.seeds)} seeds)"
        )
        if expected.low <= progress.val_loss <= expected.high:
            return f"the validation loss is as expected of this configuration: {band}"
        by_chance = f"One run in {round(1 / (1 - CONFIDENCE))} is outside by chance"
        changed = list(_other_surroundings(record, self.versions, self.machine))
        cause = f"what else differs: {', '.join(changed)}" if changed else "versions and machine are those of its runs"
        side = "above" if progress.val_loss > expected.high else "below"
        return f"! the validation loss is {side} what is expected of this configuration: {band}. {by_chance}; {cause}"


def reference_path(toml: Path) -> Path:
    """Where the reference of a TOML file is."""
    return toml.with_name("reference.json" if toml.name == "config.toml" else f"{toml.stem}.reference.json")


def _finished(run: Run) -> RunRecord:
    where, record, summary = display_path(run.directory.path), run.record, run.summary
    if record is None or summary is None or summary.status != "finished":
        raise RunDirectoryError(f"{where} is not a finished run")
    return record


def _seeds(runs: Sequence[Run], records: Sequence[RunRecord]) -> list[int]:
    """Those of the runs. Raises RunDirectoryError if two have the same: they would be one sample, counted twice."""
    seeds: list[int] = []
    for run, record in zip(runs, records, strict=True):
        seed = int(record.config["train"]["runtime"]["seed"])
        if seed in seeds:
            first = display_path(runs[seeds.index(seed)].directory.path)
            raise RunDirectoryError(
                f"{display_path(run.directory.path)} and {first} have the same seed, {seed}. Name one of them only."
            )
        seeds.append(seed)
    return seeds


def _losses(run: Run) -> dict[int, float]:
    """Its losses by step. Raises RunDirectoryError if `metrics.jsonl` lacks the one at its end."""
    losses = {row.step: row.values["val/loss"] for row in run.evaluations()}
    if run.end is None or run.end.step not in losses:
        raise RunDirectoryError(
            f"{display_path(run.directory.metrics)} lacks the evaluation at the end of training. Name another run."
        )
    return losses


def _other_surroundings(record: RunRecord, versions: dict[str, str], machine: Machine) -> Iterator[str]:
    """What a run was trained with that may have changed its loss, instead of these `versions` on this `machine`."""
    for name in dict.fromkeys([*versions, *record.versions]):
        own, other = (each.get(name, "none") for each in (record.versions, versions))
        if own != other:
            yield f"{name} {own} instead of {other}"
    for name in ("processor", "device", "system"):  # the size of its memory changes no loss
        own, other = getattr(record.machine, name), getattr(machine, name)
        if own != other:
            yield f"{name} {own or 'unknown'} instead of {other or 'unknown'}"


def _expected(step: int, losses: list[float]) -> Expected:
    from scipy.stats import t

    n, mean, sd = len(losses), statistics.fmean(losses), statistics.stdev(losses)
    quantile: Any = t.ppf(0.5 + CONFIDENCE / 2, n - 1)
    half = float(quantile) * sd * math.sqrt(1 + 1 / n)
    return Expected(step, mean, sd, mean - half, mean + half)
