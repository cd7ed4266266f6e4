"""The checkpoints of a run as its trainer writes them, and what is written with them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ml_playground.run.checkpoint import Checkpoint, Report, load, save
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.files import link_or_copy, storage_errors, unused_name

Which = Literal["last", "best", "final"]


class Artifact(ABC):
    """What stands beside a run's checkpoints, made of the same weights."""

    @abstractmethod
    def write(self, which: Which, checkpoint: Checkpoint) -> None:
        """Replace what belongs to `ckpt_last.pt` or `ckpt_best.pt`, or add what belongs to a training that is done.

        It is written before the checkpoint: a kill in between repeats it from the one before.
        """

    @abstractmethod
    def best_is_saved(self) -> None:
        """`ckpt_best.pt` has been replaced. At the end of a training this comes again, in case it was killed then."""


class CheckpointStore:
    """The checkpoints of one run directory, as its trainer writes them."""

    def __init__(
        self,
        run: RunDirectory,
        *,
        keep_last_n: int,
        artifacts: Sequence[Artifact] = (),
        report: Report = lambda _: None,
    ) -> None:
        """Take a run's places.

        Args:
            run: the run.
            keep_last_n: how many numbered checkpoints are kept; 0 is all of them.
            artifacts: what is written beside each.
            report: is given a line where a file had to be set aside.
        """
        self.run = run
        self._keep_last_n = keep_last_n
        self._artifacts = artifacts
        self._report = report

    def save(self, checkpoint: Checkpoint, *, is_best: bool = False, step: int | None = None) -> None:
        """Replace `ckpt_last.pt`, keeping the one before as `ckpt_prev.pt`.

        Its bytes are written once, whatever their names; `ckpt_last.pt` comes last, so that after a kill in between the
        evaluation is repeated and nothing is lost.

        Args:
            checkpoint: what to save.
            is_best: replace `ckpt_best.pt` too.
            step: keep it under this step too, and of the earlier ones only as many as `keep_last_n` allows.
        """
        self.run.require()
        if is_best:
            self._write_artifacts("best", checkpoint)
        self._write_artifacts("last", checkpoint)
        written: Path | None = None
        if is_best:
            written = self._put(checkpoint, self.run.best_checkpoint, written)
        if step is not None:
            written = self._put(checkpoint, self.run.numbered_checkpoint(step), written)
            self._remove_early(step)
        self._keep_previous()
        self._put(checkpoint, self.run.last_checkpoint, written)
        if is_best:
            self._best_is_saved()

    def _write_artifacts(self, which: Which, checkpoint: Checkpoint) -> None:
        for artifact in self._artifacts:
            artifact.write(which, checkpoint)

    def _best_is_saved(self) -> None:
        for artifact in self._artifacts:
            artifact.best_is_saved()

    def _put(self, checkpoint: Checkpoint, path: Path, written: Path | None) -> Path:
        """Write `checkpoint` to `path`, or give the file that it was written to that name too; returns the file."""
        if written is None:
            save(path, checkpoint)
        else:
            link_or_copy(written, path)
        return path

    def _keep_previous(self) -> None:
        last, previous = self.run.last_checkpoint, self.run.previous_checkpoint
        if last.exists():
            link_or_copy(last, previous)
        elif previous.exists():  # of a run that was ended by deleting ckpt_last.pt
            aside = unused_name(previous)
            with storage_errors(aside):
                previous.rename(aside)
            self._report(f"{previous.name} of an earlier run is now {aside.name}")

    def _remove_early(self, step: int) -> None:
        if self._keep_last_n:
            latest = self.run.numbered_checkpoint(step)
            up_to_now = [path for path in self.run.numbered_checkpoints() if path <= latest]
            for path in up_to_now[: -self._keep_last_n]:
                path.unlink()

    def finish(self) -> None:
        """The training is done, and its last checkpoint saved: write what belongs to that."""
        if self._artifacts:
            self._write_artifacts("final", load(self.run.last_checkpoint))
            self._best_is_saved()

    def discard_last(self) -> Path:
        """Set `ckpt_last.pt` aside, whose weights turned out to be useless, and return where it is now.

        The previous one takes its place.
        """
        run = self.run
        aside = unused_name(run.path / "ckpt_diverged.pt")
        link_or_copy(run.last_checkpoint, aside)
        if run.previous_checkpoint.exists():
            link_or_copy(run.previous_checkpoint, run.last_checkpoint)
        else:
            run.last_checkpoint.unlink()
        if self._artifacts and run.last_checkpoint.exists():
            self._write_artifacts("last", load(run.last_checkpoint))
        return aside
