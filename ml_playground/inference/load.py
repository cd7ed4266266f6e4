"""A trained model with its tokenizer, ready to generate."""

import sys
from dataclasses import dataclass
from pathlib import Path

from ml_playground.checkpoint import Origin, load
from ml_playground.data.tokenizers import Tokenizer, load_tokenizer
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.models import LanguageModel, restore_model
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
    origin: Origin | None  # nanoGPT's checkpoints do not tell

    @property
    def standing(self) -> str:
        """How far the training was, and how good the model."""
        return f"step {self.step}, validation loss {self.val_loss:.4f}"


def load_trained(run: RunDirectory, model_file: Path | None = None) -> TrainedModel:
    """The best model of a run: `ckpt_best.pt`, else `ckpt_last.pt`, else nanoGPT's `ckpt.pt`.

    A damaged file is named on stderr and the next one taken.

    Raises:
        CheckpointError: there is none to take.
    """
    problems: list[str] = []
    for path in (run.best_checkpoint, run.last_checkpoint, run.previous_checkpoint):
        if path.exists():
            try:
                return _load_ours(path, model_file)
            except DamagedCheckpointError as error:
                problems.append(str(error))
                print(error, file=sys.stderr)
    if run.nanogpt_checkpoint.exists():
        return _load_nanogpt(run.nanogpt_checkpoint, run.nanogpt_vocabulary)
    if problems:
        raise CheckpointError(f"{run.path}: no sound checkpoint is left.")
    raise CheckpointError(f"{run.path}: no checkpoint (ckpt_best.pt, ckpt_last.pt or ckpt.pt). Run 'train' first.")


def _load_ours(path: Path, model_file: Path | None) -> TrainedModel:
    checkpoint = load(path)
    checkpoint.origin.tell_of_changed_code(model_file, path.name)
    tokenizer = load_tokenizer(checkpoint.origin.tokenizer)
    return TrainedModel(
        checkpoint.trained_model(model_file),
        tokenizer,
        path,
        checkpoint.progress["step"],
        checkpoint.progress["val_loss"],
        checkpoint.origin,
    )


def _load_nanogpt(path: Path, vocabulary: Path) -> TrainedModel:
    found = read_nanogpt(path)
    try:
        model = restore_model(found.model_args, found.weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return TrainedModel(model, nanogpt_tokenizer(vocabulary, model.vocab_size), path, found.step, found.val_loss, None)
