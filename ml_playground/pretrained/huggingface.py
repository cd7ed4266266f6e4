"""Models in the format of Hugging Face: a folder, or a name at the hub."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ml_playground.errors import CheckpointError
from ml_playground.models.huggingface import from_huggingface

WANTED = ["config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"]


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
