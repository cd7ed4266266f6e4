"""`sweep.json`: the plan of a sweep, for those who compare its runs. What became of a run is in its own folder.

Like the other records, it is read without importing torch.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict

from ml_playground.errors import RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.records import read_record
from ml_playground.utils.files import write_json
from ml_playground.utils.tables import Table

SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class Measured:
    """What a few timed steps of an arm's first run have shown.

    Attributes:
        tokens_per_step: over all accumulated batches.
        flops_per_token: of forward and backward pass, by the model's estimate.
        step_seconds: of a step, the median.
        fastest_step_seconds: of the step that other programs have disturbed the least.
        evaluation_seconds: of one evaluation.
    """

    tokens_per_step: int
    flops_per_token: int
    step_seconds: float
    fastest_step_seconds: float
    evaluation_seconds: float


@dataclass(frozen=True)
class SweepArm:
    """What is trained with every seed.

    Attributes:
        name: `base` for the file as it is; the name of the arm's folder.
        overrides: what it changes in the base, as nested tables.
        point: its value at each key of the grid, by dotted key; empty if it is not of the grid.
        max_iters: optimiser steps of a run at a horizon of 1.
        measured: what a few steps have shown; None where they failed.
        measured_for: hash of what was measured: it is measured again when that changes.
    """

    name: str
    overrides: Table
    point: Table
    max_iters: int
    measured: Measured | None
    measured_for: str


@dataclass(frozen=True)
class SweepRun:
    """A run of the plan.

    Attributes:
        arm: the name of its arm.
        seed: `[train.runtime] seed`.
        horizon: its length as a share of the arm's `max_iters`.
        max_iters: its optimiser steps.
        folder: its run directory, relative to the sweep's folder; it is there once the run has begun.
    """

    arm: str
    seed: int
    horizon: float
    max_iters: int
    folder: str


@dataclass(frozen=True)
class Dropped:
    """An arm that halving has dropped.

    Attributes:
        arm: its name.
        horizon: the last one that it was trained to.
        loss: its final validation loss there in bits per byte, mean over seeds; None if a run has none.
        best: that of the best arm.
    """

    arm: str
    horizon: float
    loss: float | None
    best: float | None


@dataclass(frozen=True)
class SweepRecord:
    """`sweep.json`: what is compared with what.

    Attributes:
        toml: the TOML file, relative to its project.
        time: when this was written, in UTC.
        match: what all arms get as much of: steps, tokens, flops or seconds.
        seeds: of each arm.
        horizons: shares of `max_iters`, the shortest first.
        halving: keep one in so many arms after each horizon; 0 is all.
        jobs: runs at the same time.
        arms: the base first.
        runs: all, in the order in which they begin; those of dropped arms at longer horizons are left out.
        dropped: by halving.
    """

    toml: str
    time: str
    match: Literal["steps", "tokens", "flops", "seconds"]
    seeds: list[int]
    horizons: list[float]
    halving: int
    jobs: int
    arms: list[SweepArm]
    runs: list[SweepRun]
    dropped: list[Dropped] = field(default_factory=list[Dropped])

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    def write(self, folder: Path) -> None:
        """Write it to a sweep's folder. Raises StorageError if the system refuses."""
        write_json(folder / SWEEP_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What `write` has written to a sweep's folder, None where there is no sweep.

        Raises:
            RunDirectoryError: the file holds something else.
        """
        record: Any = read_record(folder / SWEEP_FILE, cls)
        return record if isinstance(record, cls) else None

    def arm(self, name: str) -> SweepArm:
        """The arm of that name. Raises KeyError if there is none."""
        return {each.name: each for each in self.arms}[name]

    def states(self, folder: Path) -> dict[str, str]:
        """How far each run is, by its folder: its status, `to come` where it has not begun, `damaged` if unknown.

        Args:
            folder: of the sweep.
        """
        return {each.folder: _state(Run(RunDirectory(folder / each.folder))) for each in self.runs}

    def runs_of(self, arm: str, horizon: float) -> list[SweepRun]:
        """The runs of an arm at a horizon, in the order of the seeds."""
        return [each for each in self.runs if (each.arm, each.horizon) == (arm, horizon)]


def _state(run: Run) -> str:
    try:
        return "to come" if run.summary is None else run.status
    except RunDirectoryError:
        return "damaged"
