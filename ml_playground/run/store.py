"""The checkpoints that a trainer saves, and what is written along with them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ml_playground.run.checkpoint import Checkpoint, Report, load, save
from ml_playground.run.directory import RunDirectory
from ml_playground.run.windows import Windows, write_windows
from ml_playground.utils.files import link_or_copy, storage_errors, unused_name

Which = Literal["last", "best", "final"]


class Artifact(ABC):
    """Something written along with a run's checkpoints, from the same weights."""

    @abstractmethod
    def write(self, which: Which, checkpoint: Checkpoint) -> None:
        """Write what belongs to the last or best checkpoint, replacing the earlier one, or to the finished training.

        Called before the checkpoint is saved: after a kill in between, training resumes from the previous checkpoint
        and writes it again.
        """

    @abstractmethod
    def best_is_saved(self) -> None:
        """`ckpt_best.pt` has been replaced. Called again at the end of training, in case a kill came in between."""


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
        """Keep checkpoints in a run directory.

        Args:
            run: the run.
            keep_last_n: how many numbered checkpoints to keep; 0 keeps all.
            artifacts: what is written along with each checkpoint.
            report: called with a message if a file had to be set aside.
        """
        self.run = run
        self._keep_last_n = keep_last_n
        self._artifacts = artifacts
        self._report = report

    def save(self, checkpoint: Checkpoint, *, is_best: bool = False, step: int | None = None) -> None:
        """Replace `ckpt_last.pt`, keeping the one before as `ckpt_prev.pt`.

        The bytes are written once, however many names they get. `ckpt_last.pt` is replaced last: after a kill in
        between, the evaluation is repeated and nothing is lost.

        Args:
            checkpoint: what to save.
            is_best: replace `ckpt_best.pt` too.
            step: also keep it under this step number, and delete earlier ones beyond `keep_last_n`.
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
        """Write `checkpoint` to `path`, or link or copy the file that already holds it; returns the file."""
        if written is None:
            save(path, checkpoint)
        else:
            link_or_copy(written, path)
        return path

    def _keep_previous(self) -> None:
        last, previous = self.run.last_checkpoint, self.run.previous_checkpoint
        if last.exists():
            link_or_copy(last, previous)
        elif previous.exists():  # left by a run whose ckpt_last.pt was deleted
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

    def keep_windows(self, windows: Windows) -> None:
        """Write what the windows of the evaluation at the end of training sum to."""
        self.run.require()
        write_windows(self.run.validation_windows, windows)

    def finish(self) -> None:
        """Write the final artifacts: training is done and its last checkpoint is saved."""
        if self._artifacts:
            self._write_artifacts("final", load(self.run.last_checkpoint))
            self._best_is_saved()

    def discard_last(self) -> Path:
        """Set `ckpt_last.pt` aside because its weights are unusable; returns its new path.

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
