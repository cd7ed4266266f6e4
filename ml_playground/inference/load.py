"""A trained model with its tokenizer, ready to generate."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.interop.nanogpt import nanogpt_tokenizer, read_nanogpt
from ml_playground.models.base import LanguageModel
from ml_playground.models.kinds import BUILT_IN
from ml_playground.models.spec import ModelSpec
from ml_playground.run.checkpoint import Provenance, load
from ml_playground.run.directory import RunDirectory
from ml_playground.run.finetuned import AdapterInfo
from ml_playground.utils.checksums import sha256_of, verify_checksums
from ml_playground.utils.files import current
from ml_playground.utils.paths import display_path


@dataclass(frozen=True)
class TrainedModel:
    """What sampling needs, and where it comes from."""

    model: LanguageModel
    spec: ModelSpec
    tokenizer: Tokenizer
    path: Path
    step: int
    val_loss: float
    data: str | None = None  # fingerprint of what it was trained on; not recorded by nanoGPT
    origin: Provenance | None = None  # recorded neither with adapters nor by nanoGPT
    warnings: tuple[str, ...] = ()  # about damaged or changed files

    @property
    def progress_line(self) -> str:
        """How far the training was, and how good the model."""
        return f"step {self.step}, validation loss {self.val_loss:.4f}"


_OPTION = "[sample.runtime] out_dir"


def load_trained(
    run: RunDirectory, spec: ModelSpec = BUILT_IN, base_dtype: str | None = None, option: str = _OPTION
) -> TrainedModel:
    """The best model of a run: `adapters/best` or `ckpt_best.pt`, else the last, else nanoGPT's `ckpt.pt`.

    If one is damaged, the next one is used, with a warning.

    Args:
        run: the run.
        spec: what the configuration names for its model.
        base_dtype: number format of frozen weights, if not that of training.
        option: what names the run.

    Raises:
        CheckpointError: there is none to take.
    """
    problems: list[str] = []
    for path in spec.candidates(run):
        try:
            found = _steady(path, partial(_load, spec=spec, base_dtype=base_dtype))
        except DamagedCheckpointError as error:
            problems.append(str(error))
        else:
            if found is not None:
                return replace(found, warnings=(*problems, *found.warnings))
    if run.nanogpt_checkpoint.exists():
        return replace(_load_nanogpt(run.nanogpt_checkpoint, run.nanogpt_vocabulary), warnings=tuple(problems))
    if problems:
        raise CheckpointError("\n".join([*problems, f"{display_path(run.path)}: no intact checkpoint is left."]))
    raise no_checkpoint_error(run, option)


T = TypeVar("T")


def _steady(path: Path, read: Callable[[Path], T]) -> T | None:
    """What `read` returns for the checkpoint or folder `path`, None if there is neither.

    Training may replace a folder while it is being read, which then looks damaged: it is read again.
    """
    while True:
        before = _identity(path)
        if before is None:
            return None
        try:
            return read(current(path))
        except DamagedCheckpointError:
            if _identity(path) == before:
                raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = current(path).stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def best_weights_hash(run: RunDirectory, spec: ModelSpec) -> str:
    """The hash of the weights that `load_trained` loads: of a checkpoint, or of adapters.

    Raises:
        CheckpointError: there is none to take.
    """
    for path in spec.candidates(run):
        with suppress(DamagedCheckpointError):
            if (found := _steady(path, weights_hash)) is not None:
                return found
    raise no_checkpoint_error(run)


def weights_hash(path: Path) -> str:
    """The hash of the weights in a checkpoint, or in a folder of adapters.

    Raises:
        DamagedCheckpointError: they are damaged.
    """
    if not path.is_dir():
        return sha256_of(path)
    verify_checksums(path)
    return sha256_of(path / RunDirectory.ADAPTER_WEIGHTS)


def no_checkpoint_error(run: RunDirectory, option: str = _OPTION) -> CheckpointError:
    """The error for a run that has no model yet; `option` is what names the run."""
    beside = ", ".join(
        display_path(each.path) for each in RunDirectory.all_in(run.path.parent) if each.path != run.path
    )
    others = f" Or set {option} to an existing run: {beside}" if beside else ""
    return CheckpointError(
        f"{display_path(run.path)}: no checkpoint (ckpt_best.pt, ckpt_last.pt or ckpt.pt). Run 'train' first.{others}"
    )


def _load(path: Path, *, spec: ModelSpec, base_dtype: str | None) -> TrainedModel:
    load = _load_folder if path.is_dir() else _load_checkpoint
    return load(path, spec, base_dtype)


def _load_folder(folder: Path, spec: ModelSpec, base_dtype: str | None) -> TrainedModel:
    info = AdapterInfo.read(folder)
    spec = _of_checkpoint(spec, info.model_args, base_dtype)
    warning = spec.verify_identity(info.model_identity, str(folder))
    return TrainedModel(
        model=spec.restore_folder(folder),
        spec=spec,
        tokenizer=load_tokenizer(info.tokenizer),
        path=folder,
        step=info.step,
        val_loss=info.val_loss,
        data=info.data,
        warnings=() if warning is None else (warning,),
    )


def _load_checkpoint(path: Path, spec: ModelSpec, base_dtype: str | None) -> TrainedModel:
    checkpoint = load(path)
    origin = checkpoint.origin
    spec = _of_checkpoint(spec, origin.model_args, base_dtype)
    warning = spec.verify_identity(origin.model_identity, path.name)
    tokenizer = load_tokenizer(origin.tokenizer)
    return TrainedModel(
        model=spec.restore(checkpoint.averaged_weights),
        spec=spec,
        tokenizer=tokenizer,
        path=path,
        step=checkpoint.progress.step,
        val_loss=checkpoint.progress.val_loss,
        data=origin.data,
        origin=origin,
        warnings=() if warning is None else (warning,),
    )


def _of_checkpoint(spec: ModelSpec, options: Mapping[str, Any], base_dtype: str | None) -> ModelSpec:
    found = spec.of_checkpoint(options)
    return found if base_dtype is None else found.with_base_dtype(base_dtype)


def _load_nanogpt(path: Path, vocabulary: Path) -> TrainedModel:
    found = read_nanogpt(path)
    try:
        spec = BUILT_IN.of_checkpoint(found.model_args)
        model = spec.restore(found.weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    tokenizer = nanogpt_tokenizer(vocabulary, model.vocab_size)
    return TrainedModel(model, spec, tokenizer, path, found.step, found.val_loss)
