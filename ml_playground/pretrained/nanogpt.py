"""Checkpoints that nanoGPT wrote."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ml_playground import sealed
from ml_playground.data.tokenizers import CharTokenizer, TiktokenTokenizer, Tokenizer
from ml_playground.errors import CheckpointError

_GPT2_VOCABULARIES = (50257, 50304)  # GPT-2's own, and nanoGPT's padding of it


@dataclass(frozen=True)
class NanoGPTCheckpoint:
    """What nanoGPT's `ckpt.pt` says of a model, in our terms; its best validation loss in nats per token."""

    model_args: dict[str, Any]
    weights: dict[str, Tensor]
    step: int
    val_loss: float


def is_nanogpt(path: Path) -> bool:
    """Whether the file at `path` is a checkpoint as nanoGPT writes them. Raises CheckpointError if it is damaged."""
    return "iter_num" in sealed.read(path)[0]


def read_nanogpt(path: Path) -> NanoGPTCheckpoint:
    """Read nanoGPT's `ckpt.pt`.

    Raises:
        CheckpointError: the file is damaged, or not nanoGPT's.
    """
    values, _ = sealed.read(path)
    try:
        weights = {_our_name(name): tensor for name, tensor in values["model"].items() if not _is_mask(name)}
        return NanoGPTCheckpoint(
            dict(values["model_args"]), weights, int(values["iter_num"]), float(values["best_val_loss"])
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of nanoGPT ({error!r})") from error


def _our_name(name: str) -> str:
    return name.removeprefix("_orig_mod.")  # left behind by torch.compile


def _is_mask(name: str) -> bool:
    return name.endswith((".attn.bias", ".attn.masked_bias"))  # buffers of nanoGPT before flash attention


def nanogpt_tokenizer(vocabulary: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer of a model of nanoGPT.

    Args:
        vocabulary: nanoGPT's `meta.pkl` of the data that it was trained on; not needed for GPT-2's vocabulary.
        vocab_size: number of ids that the model tells apart.

    Raises:
        CheckpointError: the vocabulary is not known.
    """
    if vocabulary.exists():
        return CharTokenizer(_characters(vocabulary), start_token=False)
    if vocab_size in _GPT2_VOCABULARIES:
        return TiktokenTokenizer("gpt2", start_token=False)
    raise CheckpointError(
        f"{vocabulary} is missing: a nanoGPT checkpoint does not carry its vocabulary of {vocab_size}. "
        "Copy nanoGPT's data/<dataset>/meta.pkl there."
    )


def _characters(vocabulary: Path) -> list[str]:
    """The characters of a `meta.pkl` in the order of their ids."""
    try:
        with vocabulary.open("rb") as file:
            itos: dict[int, str] = _PlainUnpickler(file).load()["itos"]
        characters = [itos[token] for token in range(len(itos))]
        if not characters or any(len(character) != 1 for character in characters):
            raise ValueError("not one character for each id")
        return characters
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError, ValueError) as error:
        raise CheckpointError(f"{vocabulary}: not a vocabulary of nanoGPT ({error})") from error


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, strings and numbers, and refuses every class and function, so that no code can run."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which could run code")
