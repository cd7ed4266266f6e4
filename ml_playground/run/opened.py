"""A run directory opened for reading, without its weights and without importing torch."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ml_playground.errors import CheckpointError, RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.evaluations import StoredEvaluation, read_evaluations
from ml_playground.run.progress import Progress, load_progress
from ml_playground.run.records import MetricRow, RunRecord, SampleRow, Status, Summary
from ml_playground.run.rows import read_jsonl

if TYPE_CHECKING:
    from ml_playground.run.windows import Windows


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint, without its weights.

    Attributes:
        path: its file.
        progress: how far it is, None if the file does not record it or is damaged.
        problem: what is wrong with it.
    """

    path: Path
    progress: Progress | None
    problem: str | None = None


class Run:
    """A run, opened read-only."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run in a folder. Raises RunDirectoryError if there is no such folder."""
        if not path.is_dir():
            raise RunDirectoryError(f"{path}: no such run (there is no such folder)")
        return cls(RunDirectory(path))

    @cached_property
    def record(self) -> RunRecord | None:
        """`run.json`, None where there is none. Raises RunDirectoryError if it is damaged."""
        return RunRecord.read(self.directory.info)

    @cached_property
    def summary(self) -> Summary | None:
        """`summary.json`, None where there is none. Raises RunDirectoryError if it is damaged."""
        return Summary.read(self.directory.summary)

    @property
    def status(self) -> Status | Literal["killed"]:
        """How it ended, or whether it is running: a training that was killed has left `running` in `summary.json`.

        Raises RunDirectoryError if that is damaged.
        """
        recorded: Status = "running" if self.summary is None else self.summary.status
        return "killed" if recorded == "running" and not self.directory.is_training else recorded

    @property
    def reached_max_iters(self) -> bool:
        """Whether the last step is done: a finished training without it was stopped early."""
        return self.summary is not None and self.summary.progress.step >= self.summary.max_iters

    def evaluations(self) -> list[MetricRow]:
        """The rows of `metrics.jsonl` with a validation loss, `val/loss`, in order."""
        return [row for row in self.metrics() if "val/loss" in row.values]

    @cached_property
    def end(self) -> MetricRow | None:
        """The last evaluation of a finished training: its exact loss at the end. None unless it is finished.

        Where `metrics.jsonl` lacks it, it is made from `summary.json`, which has no `val/accuracy`.
        """
        if self.summary is None or self.summary.status != "finished":
            return None
        progress = self.summary.progress
        rows = [row for row in self.evaluations() if row.step == progress.step]
        if rows and rows[-1].values["val/loss"] == progress.val_loss:
            return rows[-1]
        measured = {"val/loss": progress.val_loss, "val/bits_per_byte": progress.bits_per_byte}
        return MetricRow(progress.step, progress.tokens, progress.seconds, progress.flops, measured)

    def windows(self) -> "Windows | None":
        """What the windows of the evaluation at the `end` sum to, in nats, shape (W,), in the order of the text.

        None unless the training is finished and `val_windows.npy` is there. `run.windows.predictions` has the number
        of predictions in each. Raises RunDirectoryError if the file is damaged.
        """
        from ml_playground.run.windows import read_windows  # which takes numpy

        return None if self.end is None else read_windows(self.directory.validation_windows)

    def measured(self) -> list[StoredEvaluation]:
        """What `evaluate` measured of its checkpoints. Raises RunDirectoryError if `evaluations.json` is damaged."""
        return read_evaluations(self.directory.evaluations)

    def metrics(self) -> list[MetricRow]:
        """The rows of `metrics.jsonl`; malformed lines are skipped."""
        return [MetricRow.from_json(row) for row in read_jsonl(self.directory.metrics)]

    def samples(self) -> list[SampleRow]:
        """The rows of `samples.jsonl`; malformed lines are skipped."""
        found: list[SampleRow] = []
        for row in read_jsonl(self.directory.samples):
            with suppress(KeyError):
                found.append(SampleRow.from_json(row))
        return found

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """The best, the last and the numbered checkpoints, as far as they exist."""
        run = self.directory
        for path in (run.best_checkpoint, run.last_checkpoint, *run.numbered_checkpoints()):
            if path.exists():
                try:
                    yield StoredCheckpoint(path, load_progress(path))
                except CheckpointError as error:
                    yield StoredCheckpoint(path, None, str(error))
