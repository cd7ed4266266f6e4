"""Checkpoints that nanoGPT wrote."""

import io
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import CheckpointError
from ml_playground.run import sealed

_LARGEST = 2**26  # bytes of a vocabulary; one of all Unicode characters takes half of that
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_NAMES = {"GLOBAL", "STACK_GLOBAL"}  # `find_class` refuses these, and its message says what they name
_PLAIN = {
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "MEMOIZE", "GET", "BINGET", "LONG_BINGET", *_PUTS,
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_DAMAGE = (
    pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
    MemoryError,
)  # fmt: skip
_GPT2_VOCABULARIES = (50257, 50304)  # GPT-2's own, and nanoGPT's padding of it


@dataclass(frozen=True)
class NanoGPTCheckpoint:
    """What nanoGPT's `ckpt.pt` says of a model; its best validation loss in nats per token."""

    model_args: dict[str, Any]
    weights: dict[str, Tensor]
    step: int
    val_loss: float


def is_nanogpt(path: Path) -> bool:
    """Whether the file at `path` is a checkpoint of nanoGPT. Raises CheckpointError if it is damaged."""
    return "iter_num" in sealed.read(path)[0]


def read_nanogpt(path: Path) -> NanoGPTCheckpoint:
    """Read nanoGPT's `ckpt.pt`.

    Raises:
        CheckpointError: the file is damaged, or not nanoGPT's.
    """
    values, _ = sealed.read(path)
    try:
        weights = {_plain_name(name): tensor for name, tensor in values["model"].items() if not _is_mask(name)}
        return NanoGPTCheckpoint(
            dict(values["model_args"]), weights, int(values["iter_num"]), float(values["best_val_loss"])
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of nanoGPT ({error!r})") from error


def _plain_name(name: str) -> str:
    return name.removeprefix("_orig_mod.")  # added by torch.compile


def _is_mask(name: str) -> bool:
    return name.endswith((".attn.bias", ".attn.masked_bias"))  # buffers of nanoGPT before flash attention


def nanogpt_tokenizer(vocabulary: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer of a model of nanoGPT.

    Args:
        vocabulary: nanoGPT's `meta.pkl` of the data that it was trained on; not needed for GPT-2's vocabulary.
        vocab_size: number of ids that the model distinguishes.

    Raises:
        CheckpointError: the vocabulary is not known.
    """
    if vocabulary.exists():
        characters = _characters(vocabulary)
        if len(characters) != vocab_size:
            raise CheckpointError(
                f"{vocabulary} has {len(characters):,} characters, but the checkpoint's model {vocab_size:,}: it is of "
                "other data. Copy the meta.pkl of the data that the model was trained on there."
            )
        return CharTokenizer(characters, start_token=False)
    if vocab_size in _GPT2_VOCABULARIES:
        return TiktokenTokenizer("gpt2", start_token=False)
    raise CheckpointError(
        f"{vocabulary} is missing: a nanoGPT checkpoint does not carry its vocabulary of {vocab_size}. "
        "Copy nanoGPT's data/<dataset>/meta.pkl there."
    )


def _characters(vocabulary: Path) -> list[str]:
    """The characters of a `meta.pkl` in the order of their ids."""
    try:
        if not vocabulary.is_file():
            raise ValueError("it is not a file")
        if vocabulary.stat().st_size > _LARGEST:
            raise ValueError("it is far too large")
        itos: dict[int, str] = _plain_values(vocabulary.read_bytes())["itos"]
        characters = [itos[token] for token in range(len(itos))]
        if not characters or any(len(character.encode("utf-32-le")) != 4 for character in characters):
            raise ValueError("not one character for each id")
        if len(set(characters)) < len(characters):
            raise ValueError("two ids for one character")
        return characters
    except _DAMAGE as error:
        raise CheckpointError(f"{vocabulary}: not a vocabulary of nanoGPT ({error})") from error


def _plain_values(data: bytes) -> Any:
    """Unpickle data that holds only dictionaries, lists, strings and numbers.

    Opcodes for anything else are refused before the pickle is loaded, and so are memo indices far beyond its size, for
    which Python would reserve memory.
    """
    for code, argument, _ in pickletools.genops(data):
        if code.name in _NAMES:
            break
        if code.name not in _PLAIN:
            raise pickle.UnpicklingError(f"it holds more than names and numbers: {code.name}")
        if code.name in _PUTS and argument not in range(len(data)):
            raise pickle.UnpicklingError(f"{code.name} {argument} in {len(data):,} bytes")
    return _PlainUnpickler(io.BytesIO(data)).load()


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, strings and numbers, and refuses every class and function, so that no code can run."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which could run code")
