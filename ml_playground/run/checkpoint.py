"""Checkpoints: whole or not there, and safe to open.

A file is written beside its final name, flushed to the disk and renamed. `sealed` covers every byte of it by a
checksum. Loading runs no code: only tensors and plain values are let in.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.run import sealed
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import FORMAT, Progress
from ml_playground.utils.files import link_or_copy, storage_errors, unused_name
from ml_playground.utils.tables import Table, has_key, is_table

Which = Literal["last", "best", "final"]
Report = Callable[[str], object]
"""What is done with a line for the user, such as `print`."""

_READ_ON_RESUME = (
    ("data", "block_size"),
    ("runtime", "eval_iters"),
    ("runtime", "dtype"),
    ("runtime", "ema_decay"),
    ("optim", "kind"),
    ("model", "kind"),
)


@dataclass(frozen=True)
class Provenance:
    """Where a run's weights come from; the same in all its checkpoints."""

    model_args: dict[str, Any]
    tokenizer: dict[str, Any]
    data: str  # Manifest.fingerprint
    config: dict[str, Any]
    versions: dict[str, str]
    model_identity: str | None  # hash of what the model is made of beside its arguments, such as a user's file

    def with_model(self, model_args: Mapping[str, Any], sections: Table) -> "Provenance":
        """The same with the arguments of another model, and in the configuration its sections of `[train]`."""
        train = {**self.config["train"], **sections}
        return replace(self, model_args=dict(model_args), config={**self.config, "train": train})


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on, and what explains it."""

    model: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    progress: Progress
    origin: Provenance

    @property
    def averaged_weights(self) -> dict[str, Tensor]:
        """Those to evaluate and to sample from: the averages where there are any."""
        return {**self.model, **(self.ema or {})}


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` atomically.

    Raises:
        StorageError: the system refused to write; what was at `path` is not damaged.
    """
    values = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    values |= {"format": FORMAT, "progress": asdict(checkpoint.progress), **asdict(values.pop("origin"))}
    sealed.write(path, values, {"format": FORMAT, **checkpoint.progress.as_json()})


def load(path: Path) -> Checkpoint:
    """Read one of our checkpoints onto the CPU.

    Raises:
        DamagedCheckpointError: the file is cut short or altered.
        CheckpointError: the file is missing, of another format, or not one of our checkpoints.
    """
    values, is_sealed = sealed.read(path)
    if (written := values.pop("format", None)) != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {written!r}, this version reads {FORMAT}. "
            "Use the version of ml_playground that wrote it."
        )
    if not is_sealed:
        raise DamagedCheckpointError(f"{path}: damaged (its checksum is missing)")
    try:
        origin = Provenance(**{field.name: values.pop(field.name) for field in fields(Provenance)})
        progress = Progress(**values.pop("progress"))
        checkpoint = Checkpoint(**values, progress=progress, origin=origin)
        _check_types(checkpoint)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of ml_playground ({error})") from error
    return checkpoint


def _check_types(checkpoint: Checkpoint) -> None:
    """Raises TypeError if a value is not what it should be: somebody else wrote or changed it."""
    checkpoint.progress.check_types()
    origin = checkpoint.origin
    tables: dict[str, object] = {
        "model": checkpoint.model,
        "ema": checkpoint.ema or {},
        "optimizer": checkpoint.optimizer,
        "scaler": checkpoint.scaler,
        "model_args": origin.model_args,
        "tokenizer": origin.tokenizer,
        "config": origin.config,
        "versions": origin.versions,
    }
    for name, table in tables.items():
        if not is_table(table) or any(type(key) is not str for key in table):
            raise TypeError(f"{name} is not a table")
    for section, option in _READ_ON_RESUME:
        if not has_key(origin.config, ("train", section, option)):
            raise TypeError(f"config.train.{section} lacks {option}")


def load_newest(run: RunDirectory) -> tuple[Checkpoint, DamagedCheckpointError | None]:
    """The last checkpoint, or the one before and what is wrong with the last.

    Raises:
        CheckpointError: `ckpt_last.pt` is missing or of another format, or neither is sound.
    """
    try:
        return load(run.last_checkpoint), None
    except DamagedCheckpointError as error:
        problem = error
    try:
        return load(run.previous_checkpoint), problem
    except CheckpointError as error:
        raise CheckpointError(f"{problem}\n{error}\nDelete {run.last_checkpoint} to start afresh.") from error


def load_best(run: RunDirectory, data: str, report: Report) -> Checkpoint | None:
    """`ckpt_best.pt`, None where there is no sound one: only a better one may replace it.

    Args:
        run: the run.
        data: fingerprint of the data that it must have been trained on.
        report: is given a line where the file is damaged.

    Raises:
        CheckpointError: it was trained on other data.
    """
    path = run.best_checkpoint
    if not path.exists():
        return None
    try:
        best = load(path)
    except DamagedCheckpointError as error:
        report(f"{error}\nThe next best one will replace it.")
        return None
    if best.origin.data != data:
        raise CheckpointError(
            f"{path} was trained on other data. Set another [train.runtime] out_dir, or move the file away."
        )
    return best


def resume(run: RunDirectory, report: Report) -> Checkpoint | None:
    """The checkpoint to resume from, None to start afresh.

    A damaged `ckpt_last.pt` is set aside under another name and the previous one takes its place.

    Args:
        run: the run, which must be locked.
        report: is given a line about what was set aside, or stays.

    Raises:
        CheckpointError: `ckpt_last.pt` is damaged and there is no sound previous one.
    """
    if not run.last_checkpoint.exists():
        if run.best_checkpoint.exists():
            report(f"{run.best_checkpoint.name} of an earlier run stays until this run has a better one")
        return None
    checkpoint, problem = load_newest(run)
    if problem is not None:
        aside = unused_name(run.path / "ckpt_damaged.pt")
        link_or_copy(run.last_checkpoint, aside)
        link_or_copy(run.previous_checkpoint, run.last_checkpoint)
        report(f"{problem}\nKept as {aside.name}; resuming from {run.previous_checkpoint.name}.")
    return checkpoint


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
