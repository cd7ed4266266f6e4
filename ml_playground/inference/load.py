"""A trained model with its tokenizer, ready to generate."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from ml_playground.checkpoint import Origin, load, source_hash
from ml_playground.config.sections import ModelSource
from ml_playground.data.fast_tokenizer import TOKENIZER_FILES
from ml_playground.data.tokenizers import Tokenizer, load_tokenizer
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.models import OURS, LanguageModel, restore_model
from ml_playground.pretrained.nanogpt import nanogpt_tokenizer, read_nanogpt
from ml_playground.run_directory import RunDirectory


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


def load_trained(run: RunDirectory, source: ModelSource = OURS, dtype: str | None = None) -> TrainedModel:
    """The best model of a run: adapters, best, last or final, else `ckpt_best.pt`, `ckpt_last.pt`, nanoGPT's `ckpt.pt`.

    A damaged file is named on stderr and the next one taken.

    Args:
        run: the run.
        source: what the user brings for the model.
        dtype: number format of weights that were not trained, where another is wanted than in training.

    Raises:
        CheckpointError: there is none to take.
    """
    problems: list[str] = []
    for path in (*_adapters(run, source), *_checkpoints(run)):
        if path.exists():
            try:
                return _load_adapters(path, source, dtype) if path.is_dir() else _load_ours(path, source)
            except DamagedCheckpointError as error:
                problems.append(str(error))
                print(error, file=sys.stderr)
    if run.nanogpt_checkpoint.exists():
        return _load_nanogpt(run.nanogpt_checkpoint, run.nanogpt_vocabulary)
    if problems:
        raise CheckpointError(f"{run.path}: no sound checkpoint is left.")
    raise _nothing_in(run)


def best_weights(run: RunDirectory, source: ModelSource) -> Path:
    """The file with the weights that `load_trained` takes, or with those of the adapters.

    Raises:
        CheckpointError: there is none.
    """
    for path in (*_adapters(run, source), *_checkpoints(run)):
        if path.exists():
            return weights_file(path)
    raise _nothing_in(run)


def weights_file(path: Path) -> Path:
    """The file with the weights in a checkpoint or a folder of adapters."""
    return path / RunDirectory.ADAPTER_WEIGHTS if path.is_dir() else path


def _adapters(run: RunDirectory, source: ModelSource) -> list[Path]:
    """Where adapters would be, the better ones first."""
    return [] if source.model_name is None else [run.adapters("best"), run.adapters("last"), run.adapters("final")]


def _checkpoints(run: RunDirectory) -> list[Path]:
    return [run.best_checkpoint, run.last_checkpoint, run.previous_checkpoint]


def _nothing_in(run: RunDirectory) -> CheckpointError:
    return CheckpointError(f"{run.path}: no checkpoint (ckpt_best.pt, ckpt_last.pt or ckpt.pt). Run 'train' first.")


def _load_adapters(folder: Path, source: ModelSource, dtype: str | None) -> TrainedModel:
    try:
        about = json.loads((folder / RunDirectory.ADAPTER_INFO).read_bytes())
        text = (folder / TOKENIZER_FILES[0]).read_text(encoding="utf-8")
        tokenizer = load_tokenizer({**about["tokenizer"], "tokenizer": text})
        if about["model_source"] != source_hash(source):
            raise CheckpointError(
                f"{folder} was trained on other weights than those of [train.hf_model] model_name = "
                f"{source.model_name}."
            )
        # JSON's keys are texts.
        new_tokens = {int(token): before for token, before in about["model_args"]["new_tokens"].items()}
        model_args = {**about["model_args"], "new_tokens": new_tokens}
        step, val_loss, data = int(about["step"]), float(about["val_loss"]), str(about["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpointError(f"{folder}: damaged ({type(error).__name__}: {error})") from error
    if dtype is not None:
        model_args["hf_model"] = {**model_args["hf_model"], "dtype": dtype}
    from ml_playground.models.finetuned import load_adapted  # which takes seconds to import

    model = load_adapted(model_args, source, folder)
    return TrainedModel(model, tokenizer, folder, step, val_loss, data)


def _load_ours(path: Path, source: ModelSource) -> TrainedModel:
    checkpoint = load(path)
    checkpoint.origin.check_source(source, path.name)
    tokenizer = load_tokenizer(checkpoint.origin.tokenizer)
    return TrainedModel(
        checkpoint.trained_model(source),
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
