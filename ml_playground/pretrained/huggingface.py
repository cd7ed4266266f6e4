"""Models in the format of Hugging Face: a folder, or a name at the hub."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from ml_playground.errors import CheckpointError, PromptError
from ml_playground.models.huggingface import from_huggingface

Encode = Callable[[str], Sequence[int]]

_WANTED = ["config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json"]


def find_folder(path: Path, name: str) -> Path:
    """`path` if it is a folder, else the files of the model `name` at the hub, downloaded or from the cache.

    Raises:
        CheckpointError: it is neither.
    """
    if path.is_dir():
        return path
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except HFValidationError:
        raise CheckpointError(f"{path}: there is no such folder or file, and {name!r} is no name at the hub.") from None
    except Exception as error:
        raise CheckpointError(
            f"{path}: there is no such folder or file, and from the hub {name!r} could not be had "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). With network access it is downloaded once and "
            "kept in Hugging Face's cache (HF_HOME); a model that asks for consent needs a token in HF_TOKEN."
        ) from error


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Model arguments and weights in float32, in our terms.

    Raises:
        CheckpointError: files are missing or damaged, or the model does something that ours cannot.
    """
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise CheckpointError("no *.safetensors, the only format of weights that is read here")
        tensors = {name: tensor.to(torch.float32) for path in files for name, tensor in load_file(path).items()}
    except FileNotFoundError as error:
        raise CheckpointError("no config.json: not a model in Hugging Face's format") from error
    except (ValueError, SafetensorError) as error:
        raise CheckpointError(f"damaged ({error})") from error
    return from_huggingface(values, tensors)


def read_tokenizer(folder: Path) -> Encode:
    """The model's tokenizer, without the special tokens that it puts around a text; it raises PromptError.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError("no tokenizer.json, so whether it knows the data's ids cannot be told")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"tokenizer.json is damaged ({error})") from error

    def encode(text: str) -> list[int]:
        try:
            return tokenizer.encode(text, add_special_tokens=False).ids
        except Exception as error:
            raise PromptError(str(error)) from error

    return encode
