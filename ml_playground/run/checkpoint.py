"""Checkpoints: whole or not there, and safe to open.

A file is written beside its final name, flushed to the disk and renamed. `sealed` covers every byte of it by a
checksum. Loading runs no code: only tensors and plain values are let in.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ml_playground.config.fields import ModelSource
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.models import LanguageModel, restore_model
from ml_playground.run import sealed
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.utils.files import keep_copy, storage_errors, unused_name
from ml_playground.utils.hub import WEIGHT_FILES, find_folder, fingerprint
from ml_playground.utils.modules import code_hash
from ml_playground.utils.paths import shown
from ml_playground.utils.tables import is_table, states

FORMAT = 4

_READ_ON_RESUME = (("data", "block_size"), ("runtime", "eval_iters"), ("optim", "kind"), ("model", "kind"))


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
        StorageError: the system refused to write; what was at `path` is not damaged.
    """
    values = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    values |= {"format": FORMAT, **asdict(values.pop("origin"))}
    sealed.write(path, values, {"format": FORMAT, **Progress(**checkpoint.progress).as_json()})


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
        origin = Origin(**{field.name: values.pop(field.name) for field in fields(Origin)})
        checkpoint = Checkpoint(**values, origin=origin)
        _check_types(checkpoint)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of ml_playground ({error})") from error
    return checkpoint


def _check_types(checkpoint: Checkpoint) -> None:
    """Raises TypeError if a value is not what it should be: somebody else wrote or changed it."""
    Progress(**checkpoint.progress).check_types()
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
        if not states(origin.config, ("train", section, option)):
            raise TypeError(f"config.train.{section} lacks {option}")


def load_progress(path: Path) -> Progress | None:
    """How far a checkpoint is, read without its weights; None for nanoGPT's and other formats, which do not say.

    Raises:
        DamagedCheckpointError: the file is cut short or altered where this is written.
        CheckpointError: the file is missing.
    """
    header = sealed.read_header(path)
    if header is None or header.get("format") != FORMAT:
        return None
    return Progress.from_json(header)


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
        aside = unused_name(run.path / "ckpt_damaged.pt")
        keep_copy(run.last_checkpoint, aside)
        keep_copy(run.previous_checkpoint, run.last_checkpoint)
        print(f"{problem}\nKept as {aside.name}; resuming from {run.previous_checkpoint.name}.")
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
        written: Path | None = None
        if is_best:
            written = self._put(checkpoint, self.run.best_checkpoint, written)
        if step is not None:
            written = self._put(checkpoint, self.run.numbered_checkpoint(step), written)
            self._remove_early(step)
        self._keep_previous()
        self._put(checkpoint, self.run.last_checkpoint, written)

    def _put(self, checkpoint: Checkpoint, path: Path, written: Path | None) -> Path:
        """Write `checkpoint` to `path`, or give the file that it was written to that name too; returns the file."""
        if written is None:
            save(path, checkpoint)
        else:
            keep_copy(written, path)
        return path

    def _keep_previous(self) -> None:
        last, previous = self.run.last_checkpoint, self.run.previous_checkpoint
        if last.exists():
            keep_copy(last, previous)
        elif previous.exists():  # of a run that was ended by deleting ckpt_last.pt
            aside = unused_name(previous)
            with storage_errors(aside):
                previous.rename(aside)
            print(f"{previous.name} of an earlier run is now {aside.name}")

    def _remove_early(self, step: int) -> None:
        if self._keep_last_n:
            latest = self.run.numbered_checkpoint(step)
            up_to_now = [path for path in self.run.numbered_checkpoints() if path <= latest]
            for path in up_to_now[: -self._keep_last_n]:
                path.unlink()

    def finish(self) -> None:
        """The training is done, and its last checkpoint saved."""

    def discard_last(self) -> Path:
        """Set `ckpt_last.pt` aside, whose weights turned out to be useless, and return where it is now.

        The previous one takes its place.
        """
        run = self.run
        aside = unused_name(run.path / "ckpt_diverged.pt")
        keep_copy(run.last_checkpoint, aside)
        if run.previous_checkpoint.exists():
            keep_copy(run.previous_checkpoint, run.last_checkpoint)
        else:
            run.last_checkpoint.unlink()
        return aside
