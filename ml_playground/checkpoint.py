"""Checkpoints: whole or not there, and safe to open.

A file is written beside its final name, flushed to the disk and renamed. Inside it is torch's zip archive, whose CRC-32
of each entry `load` verifies, since `torch.load` itself accepts flipped bits silently. Loading runs no code: only
tensors and plain values are let in.
"""

import errno
import pickle
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ml_playground.config.fields import ModelSource
from ml_playground.config.files import shown
from ml_playground.config.tables import is_table
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.files import atomic_write, keep_copy
from ml_playground.hub import WEIGHT_FILES, find_folder, fingerprint
from ml_playground.imports import code_hash
from ml_playground.models import LanguageModel, restore_model
from ml_playground.run_directory import RunDirectory

FORMAT = 3


@dataclass(frozen=True)
class Origin:
    """Where a run's weights come from; the same in all its checkpoints."""

    model_args: dict[str, Any]
    tokenizer: dict[str, Any]
    data: str  # Manifest.fingerprint
    config: dict[str, Any]
    versions: dict[str, str]
    model_source: str | None  # hash of what the user brought for the model

    def with_model(self, model_args: Mapping[str, Any]) -> "Origin":
        """The same with the arguments of another model, in the configuration too."""
        train = self.config["train"]
        if "hf_model" in model_args:
            changed = {key: model_args[key] for key in ("hf_model", "peft")}
        else:
            changed = {"model": {key: model_args.get(key, value) for key, value in train["model"].items()}}
        return replace(self, model_args=dict(model_args), config={**self.config, "train": {**train, **changed}})

    def check_source(self, source: ModelSource, name: str) -> None:
        """Compare what the user brings for the model with what the checkpoint `name` was trained with.

        A changed file is told on stderr.

        Raises:
            CheckpointError: the weights that were fine-tuned were others.
        """
        if self.model_source in (None, source_hash(source)):
            return
        if source.model_name is not None:
            raise CheckpointError(
                f"{name} was trained on other weights than those of [train.hf_model] model_name = {source.model_name}. "
                "Name the old ones, or set another [train.runtime] out_dir."
            )
        if source.file is not None:
            print(f"[train.model] file: {shown(source.file)} has changed since {name}", file=sys.stderr)


def source_hash(source: ModelSource) -> str | None:
    """The hash of a user's file or of the weights of a model that is fine-tuned, None for models of ours."""
    if source.model_name is None:
        return code_hash(source.file)
    return fingerprint(find_folder(source.model_name, WEIGHT_FILES, source.revision))


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on, and what explains it."""

    model: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    progress: dict[str, Any]
    origin: Origin

    @property
    def trained_state(self) -> dict[str, Tensor]:
        """The weights, averaged where they are."""
        return {**self.model, **(self.ema or {})}

    def trained_model(self, source: ModelSource) -> LanguageModel:
        """The model to evaluate and to sample from: with the averaged weights where there are any.

        `source` is what the user brings for it.

        Raises:
            CheckpointError: weights and model arguments do not fit.
        """
        return restore_model(self.origin.model_args, self.trained_state, source)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` atomically.

    Raises:
        DiskFullError: there was no room; what stood at `path` is untouched.
    """
    values = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    values |= {"format": FORMAT, **asdict(values.pop("origin"))}
    with atomic_write(path) as file:
        torch.save(values, file)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of ours onto the CPU.

    Raises:
        DamagedCheckpointError: the file is cut short or altered.
        CheckpointError: the file is missing, of a newer format, or no checkpoint of ours.
    """
    values = load_plain(path)
    if (written := values.pop("format", None)) != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {written!r}, this version reads {FORMAT}. "
            "Use the version of ml_playground that wrote it."
        )
    try:
        origin = Origin(**{field.name: values.pop(field.name) for field in fields(Origin)})
        return Checkpoint(**values, origin=origin)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of ml_playground ({error})") from error


def load_plain(path: Path) -> dict[str, Any]:
    """Read a file of tensors and plain values that `torch.save` wrote, verifying its checksums and running no code.

    Raises:
        DamagedCheckpointError: the file is cut short or altered.
        CheckpointError: the file is missing, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise DamagedCheckpointError(f"{path}: damaged (checksum of {damaged} does not match)")
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except OSError as error:  # the disk's trouble, not the file's; but for a place in the file that cannot be
        if error.errno == errno.EINVAL:
            raise DamagedCheckpointError(f"{path}: damaged or cut short ({error})") from error
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors and plain values; it was not opened, as that could run its code"
        ) from error
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
        if "allocate memory" in str(error):
            raise
        raise DamagedCheckpointError(f"{path}: damaged or cut short ({error})") from error
    if not is_table(values):
        raise CheckpointError(f"{path}: not a checkpoint")
    return values


class CheckpointStore:
    """The checkpoints of one run directory, as its trainer writes and resumes them."""

    def __init__(self, run: RunDirectory, *, keep_last_n: int) -> None:
        self.run = run
        self._keep_last_n = keep_last_n

    def resume(self) -> Checkpoint | None:
        """The checkpoint to go on from, None to start afresh.

        A damaged `ckpt_last.pt` is put aside under another name and the previous one takes its place.

        Raises:
            CheckpointError: `ckpt_last.pt` is damaged and there is no sound previous one.
        """
        run = self.run
        if not run.last_checkpoint.exists():
            run.previous_checkpoint.unlink(missing_ok=True)  # of a run that was ended by deleting ckpt_last.pt
            if run.best_checkpoint.exists():
                print(f"{run.best_checkpoint.name} of an earlier run stays until this run has a better one")
            return None
        try:
            return load(run.last_checkpoint)
        except DamagedCheckpointError as error:
            problem = error
        try:
            checkpoint = load(run.previous_checkpoint)
        except CheckpointError as error:
            raise CheckpointError(f"{problem}\n{error}\nDelete {run.last_checkpoint} to start afresh.") from error
        aside = run.last_checkpoint.with_name("ckpt_damaged.pt")
        keep_copy(run.last_checkpoint, aside)
        keep_copy(run.previous_checkpoint, run.last_checkpoint)
        print(f"{problem}\nPut aside as {aside.name}; going on from {run.previous_checkpoint.name}.")
        return checkpoint

    def best(self, data: str) -> Checkpoint | None:
        """`ckpt_best.pt`, None where there is no sound one: only a better one may replace it.

        Raises:
            CheckpointError: it was trained on other data than that of the fingerprint `data`.
        """
        path = self.run.best_checkpoint
        if not path.exists():
            return None
        try:
            best = load(path)
        except DamagedCheckpointError as error:
            print(f"{error}\nThe next best one will replace it.")
            return None
        if best.origin.data != data:
            raise CheckpointError(
                f"{path} was trained on other data. Set another [train.runtime] out_dir, or move the file away."
            )
        return best

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Replace `ckpt_last.pt`, keeping the one before as `ckpt_prev.pt`."""
        if self.run.last_checkpoint.exists():
            keep_copy(self.run.last_checkpoint, self.run.previous_checkpoint)
        save(self.run.last_checkpoint, checkpoint)

    def finish(self) -> None:
        """The training is done, and its last checkpoint saved."""

    def discard_last(self) -> None:
        """Put `ckpt_last.pt` aside, whose weights turned out to be of no use; the previous one takes its place."""
        run = self.run
        keep_copy(run.last_checkpoint, run.path / "ckpt_diverged.pt")
        if run.previous_checkpoint.exists():
            keep_copy(run.previous_checkpoint, run.last_checkpoint)
        else:
            run.last_checkpoint.unlink()

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Replace `ckpt_best.pt`."""
        save(self.run.best_checkpoint, checkpoint)

    def save_numbered(self, checkpoint: Checkpoint, step: int) -> None:
        """Keep this checkpoint under its step, and of the earlier ones only as many as `keep_last_n` allows."""
        save(self.run.numbered_checkpoint(step), checkpoint)
        if self._keep_last_n:
            upto = [path for path in self.run.numbered_checkpoints() if path <= self.run.numbered_checkpoint(step)]
            for path in upto[: -self._keep_last_n]:
                path.unlink()
