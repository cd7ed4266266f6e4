"""A trained model with its tokenizer, ready to generate."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ml_playground.config.fields import ModelSource
from ml_playground.data.fast_tokenizer import TOKENIZER_FILES
from ml_playground.data.tokenizers import Tokenizer, load_tokenizer
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.interop.nanogpt import nanogpt_tokenizer, read_nanogpt
from ml_playground.models import OURS, LanguageModel, restore_model
from ml_playground.run.checkpoint import Origin, load, source_hash
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.checksums import sha256_of, verify_checksums
from ml_playground.utils.files import current, read_file
from ml_playground.utils.paths import shown


@dataclass(frozen=True)
class TrainedModel:
    """What sampling needs, and where it comes from."""

    model: LanguageModel
    tokenizer: Tokenizer
    path: Path
    step: int
    val_loss: float
    data: str | None = None  # fingerprint of what it was trained on; nanoGPT's checkpoints do not tell
    origin: Origin | None = None  # adapters and nanoGPT's checkpoints do not tell

    @property
    def standing(self) -> str:
        """How far the training was, and how good the model."""
        return f"step {self.step}, validation loss {self.val_loss:.4f}"


@dataclass(frozen=True)
class AdapterInfo:
    """What is beside adapters: what they were trained on, and how far."""

    step: int
    val_loss: float
    model_args: dict[str, Any]
    model_source: str
    tokenizer: dict[str, Any]
    data: str
    versions: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "AdapterInfo":
        """Raises DamagedCheckpointError if anything in `folder` is not as it was written."""
        verify_checksums(folder)
        try:
            info = cls(**json.loads((folder / RunDirectory.ADAPTER_INFO).read_bytes()))
            text = (folder / TOKENIZER_FILES[0]).read_text(encoding="utf-8")
            # JSON's keys are texts, and the tokenizer is in a file that other programs know.
            new_tokens = {int(token): before for token, before in info.model_args["new_tokens"].items()}
            model_args, tokenizer = {**info.model_args, "new_tokens": new_tokens}, {**info.tokenizer, "tokenizer": text}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            # Somebody changed it, and the checksums with it.
            raise DamagedCheckpointError(f"{folder}: damaged ({type(error).__name__}: {error})") from error
        return replace(info, model_args=model_args, tokenizer=tokenizer)


def load_trained(run: RunDirectory, source: ModelSource = OURS, dtype: str | None = None) -> TrainedModel:
    """The best model of a run: that of `adapters/best` or `ckpt_best.pt`, else the last, else nanoGPT's `ckpt.pt`.

    A damaged one is named on stderr and the next one taken.

    Args:
        run: the run.
        source: what the user brings for the model.
        dtype: number format of weights that were not trained, where another is wanted than in training.

    Raises:
        CheckpointError: there is none to take.
    """
    problems: list[str] = []
    for path in _candidates(run, source):
        try:
            found = _steady(path, partial(_load, source=source, dtype=dtype))
        except DamagedCheckpointError as error:
            problems.append(str(error))
            print(error, file=sys.stderr)
        else:
            if found is not None:
                return found
    if run.nanogpt_checkpoint.exists():
        return _load_nanogpt(run.nanogpt_checkpoint, run.nanogpt_vocabulary)
    if problems:
        raise CheckpointError(f"{run.path}: no sound checkpoint is left.")
    raise no_checkpoint(run)


T = TypeVar("T")


def _steady(path: Path, read: Callable[[Path], T]) -> T | None:
    """What `read` makes of the checkpoint or the folder of `path`, None where there is neither.

    A training may replace a folder while it is read, which then looks damaged: it is read again.
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


def best_weights(run: RunDirectory, source: ModelSource) -> str:
    """The hash of the weights that `load_trained` takes, or of those of the adapters.

    Raises:
        CheckpointError: there is none to take.
    """
    for path in _candidates(run, source):
        with suppress(DamagedCheckpointError):
            if (found := _steady(path, weights_of)) is not None:
                return found
    raise no_checkpoint(run)


def weights_of(path: Path) -> str:
    """The hash of the weights in a checkpoint, or in a folder of adapters.

    Raises:
        DamagedCheckpointError: they are not whole.
    """
    if not path.is_dir():
        return sha256_of(path)
    verify_checksums(path)
    return sha256_of(path / RunDirectory.ADAPTER_WEIGHTS)


def merged_from(run: RunDirectory) -> str | None:
    """The hash of the weights that `merged/` was made of, None where there is no such folder or it does not tell."""
    try:
        return str(json.loads(read_file(current(run.merged) / RunDirectory.MERGE_INFO))["weights"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _candidates(run: RunDirectory, source: ModelSource) -> Iterator[Path]:
    """Where the model could be, the better ones first."""
    has_adapters = source.model_name is not None and source.adapters
    if has_adapters:
        yield run.adapters("best")
    yield run.best_checkpoint
    if has_adapters:
        yield from (run.adapters("last"), run.adapters("final"))
    yield from (run.last_checkpoint, run.previous_checkpoint)


def no_checkpoint(run: RunDirectory) -> CheckpointError:
    """The error to raise where a run has no model yet."""
    beside = ", ".join(str(shown(each.path)) for each in RunDirectory.all_in(run.path.parent) if each.path != run.path)
    others = f" Or set [sample.runtime] out_dir to a run that is there: {beside}" if beside else ""
    return CheckpointError(
        f"{run.path}: no checkpoint (ckpt_best.pt, ckpt_last.pt or ckpt.pt). Run 'train' first.{others}"
    )


def _load(path: Path, *, source: ModelSource, dtype: str | None) -> TrainedModel:
    return _load_adapters(path, source, dtype) if path.is_dir() else _load_ours(path, source, dtype)


def _load_adapters(folder: Path, source: ModelSource, dtype: str | None) -> TrainedModel:
    info = AdapterInfo.read(folder)
    if info.model_source != source_hash(source):
        raise CheckpointError(
            f"{folder} was trained on other weights than those of [train.hf_model] model_name = {source.model_name}. "
            "Name the old ones."
        )
    from ml_playground.models.finetuned import load_adapted  # which takes seconds to import

    model = load_adapted(_kept_in(info.model_args, dtype), source, folder)
    return TrainedModel(model, load_tokenizer(info.tokenizer), folder, info.step, info.val_loss, info.data)


def _kept_in(model_args: dict[str, Any], dtype: str | None) -> dict[str, Any]:
    """The arguments of a model, its frozen weights in another format if one is named."""
    if dtype is None or "hf_model" not in model_args:
        return model_args
    return {**model_args, "hf_model": {**model_args["hf_model"], "dtype": dtype, "quantization": "none"}}


def _load_ours(path: Path, source: ModelSource, dtype: str | None) -> TrainedModel:
    checkpoint = load(path)
    checkpoint.origin.check_source(source, path.name)
    tokenizer = load_tokenizer(checkpoint.origin.tokenizer)
    return TrainedModel(
        restore_model(_kept_in(checkpoint.origin.model_args, dtype), checkpoint.trained_state, source),
        tokenizer,
        path,
        checkpoint.progress["step"],
        checkpoint.progress["val_loss"],
        checkpoint.origin.data,
        checkpoint.origin,
    )


def _load_nanogpt(path: Path, vocabulary: Path) -> TrainedModel:
    found = read_nanogpt(path)
    try:
        model = restore_model(found.model_args, found.weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return TrainedModel(model, nanogpt_tokenizer(vocabulary, model.vocab_size), path, found.step, found.val_loss)
