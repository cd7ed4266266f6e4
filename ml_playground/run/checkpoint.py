"""Checkpoints: written atomically, and safe to open.

A file is written under a temporary name, flushed to disk and renamed. A checksum covers every byte of it (`sealed`).
Loading runs no code: only tensors and plain values are accepted.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.run import sealed
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import FORMAT, Progress
from ml_playground.run.surroundings import versions_of
from ml_playground.utils.files import link_or_copy, unused_name
from ml_playground.utils.tables import Table, has_key, is_table

Report = Callable[[str], object]
"""Shows a line to the user, as `print` does."""

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
    versions: dict[str, str]  # surroundings.versions_of
    model_identity: str | None  # hash of what else the model is made of, such as a user's file

    def with_model(self, model_args: Mapping[str, Any], sections: Table) -> "Provenance":
        """A copy for another model, with its arguments and its sections of `[train]`."""
        train = {**self.config["train"], **sections}
        return replace(
            self, model_args=dict(model_args), config={**self.config, "train": train}, versions=versions_of(train)
        )


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on, and where it comes from."""

    model: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    progress: Progress
    origin: Provenance

    @property
    def averaged_weights(self) -> dict[str, Tensor]:
        """The weights to evaluate and to sample from: averages where there are any."""
        return {**self.model, **(self.ema or {})}


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` atomically.

    Raises:
        StorageError: the file could not be written; an existing one at `path` is intact.
    """
    values = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    values |= {"format": FORMAT, "progress": asdict(checkpoint.progress), **asdict(values.pop("origin"))}
    sealed.write(path, values, {"format": FORMAT, **checkpoint.progress.as_json()})


def load(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        DamagedCheckpointError: the file is cut short or altered.
        CheckpointError: the file is missing, of another format, or not a checkpoint of ml_playground.
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
    """Raises TypeError if a value has the wrong type: another program wrote or changed the file."""
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
    """The last checkpoint; if it is damaged, the previous one and the error.

    Raises:
        CheckpointError: `ckpt_last.pt` is missing or of another format, or neither is intact.
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
    """`ckpt_best.pt`, or None if it is missing or damaged. Only a better one may replace it.

    Args:
        run: the run.
        data: fingerprint of the data that it must have been trained on.
        report: called with a message if the file is damaged.

    Raises:
        CheckpointError: it was trained on different data.
    """
    path = run.best_checkpoint
    if not path.exists():
        return None
    try:
        best = load(path)
    except DamagedCheckpointError as error:
        report(f"{error}\nThe next improvement will replace it.")
        return None
    if best.origin.data != data:
        raise CheckpointError(
            f"{path} was trained on different data. Set another [train.runtime] out_dir, or move the file away."
        )
    return best


def resume(run: RunDirectory, report: Report) -> Checkpoint | None:
    """The checkpoint to resume from, None to start afresh.

    A damaged `ckpt_last.pt` is set aside under another name and the previous one takes its place.

    Args:
        run: the run, which must be locked.
        report: called with a message about what was set aside or kept.

    Raises:
        CheckpointError: `ckpt_last.pt` is damaged and there is no intact previous one.
    """
    if not run.last_checkpoint.exists():
        if run.best_checkpoint.exists():
            report(f"keeping {run.best_checkpoint.name} of an earlier run until this run has a better one")
        return None
    checkpoint, problem = load_newest(run)
    if problem is not None:
        aside = unused_name(run.path / "ckpt_damaged.pt")
        link_or_copy(run.last_checkpoint, aside)
        link_or_copy(run.previous_checkpoint, run.last_checkpoint)
        report(f"{problem}\nKept as {aside.name}; resuming from {run.previous_checkpoint.name}.")
    return checkpoint
