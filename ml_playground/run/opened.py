"""A run directory opened for reading, without its weights and without importing torch."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from ml_playground.errors import CheckpointError, RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress, load_progress
from ml_playground.run.records import MetricRow, RunRecord, SampleRow, Summary
from ml_playground.run.rows import read_jsonl


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
