"""The supported classes of Transformers. Adding one takes a `Family` and one line."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError, ExportError
from ml_playground.interop.huggingface.family import EMBEDDING, HEAD, Family
from ml_playground.interop.huggingface.gpt2 import GPT2
from ml_playground.interop.huggingface.llama import Llama, Mistral, Qwen2, Qwen3
from ml_playground.utils.model_folder import read_table, require_readable
from ml_playground.utils.tables import is_table

FAMILIES: dict[str, Family] = {family.hf_class: family for family in (GPT2(), Qwen3(), Llama(), Mistral(), Qwen2())}
"""By class name. A model that fits several classes is exported as the first."""

PATTERNS = ("config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json")
"""Patterns of the files that are read."""

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # computed, but written by older versions


def family_of(config: ModelConfig) -> Family:
    """The class of Transformers that computes what a model with these options does.

    Raises:
        ExportError: there is none; the message names the options that differ from the closest one.
    """
    exported = [family for family in FAMILIES.values() if family.exported]
    blocking_options = {family: list(family.blocking_options(config)) for family in exported}
    closest = min(exported, key=lambda family: len(blocking_options[family]))
    if blocking_options[closest]:
        raise ExportError(
            f"no Transformers class matches this model. Closest: {closest.hf_class}; options that differ, in "
            f"[train.model]: {', '.join(blocking_options[closest])}."
        )
    return closest


def load_hf_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Model options and weights in float32 of a folder in Hugging Face's format, as `from_theirs` gives them.

    Raises:
        CheckpointError: files are missing or damaged, or the model uses something that is not supported here.
    """
    require_readable(folder)
    config, index, whole = folder / "config.json", folder / _INDEX, folder / _WEIGHTS
    reading = config
    tensors: dict[str, Tensor] = {}
    try:
        values = read_table(config)
        reading = index if index.is_file() and not whole.is_file() else whole
        names = {_WEIGHTS} if reading == whole else set(read_table(index)["weight_map"].values())
        for name in sorted(names):
            reading = folder / name
            if reading.parent != folder:
                raise CheckpointError(f"{index.name} names {name}, which is not a file in the same folder")
            tensors |= load_file(reading)
    except FileNotFoundError as error:
        hint = " Name its ckpt_best.pt." if (folder / "ckpt_best.pt").is_file() else ""
        raise CheckpointError(f"{reading.name} is missing: not a model in Hugging Face's format.{hint}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{reading.name} is damaged ({error})") from error
    return from_theirs(values, tensors)


def from_theirs(values: object, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Model options, the vocabulary's size among them, and weights of a model in Hugging Face's format.

    Args:
        values: its `config.json`.
        tensors: its tensors by name.

    Raises:
        CheckpointError: the model is of an unsupported class, or uses something that is not supported.
    """
    classes = values.get("architectures") if is_table(values) else None
    name = str(classes[0]) if isinstance(classes, list) and classes else "not stated"
    unused = {key: tensor.float() for key, tensor in tensors.items() if not key.endswith(_BUFFERS)}
    if short := [key for key in unused if not tensors[key].is_floating_point() or tensors[key].itemsize < 2]:
        raise CheckpointError(f"its weights are quantised ({short[0]}), which is unknown here")
    if not is_table(values) or name not in FAMILIES:
        raise CheckpointError(f"its class is {name}; those known here are {', '.join(sorted(FAMILIES))}")
    try:
        args, weights = FAMILIES[name].from_theirs(values, unused)
    except KeyError as error:
        raise CheckpointError(f"its weights lack {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"its config.json says {at} = {first['input']!r}: {first['msg']}") from error
    except RuntimeError as error:
        raise CheckpointError(f"its weights do not fit each other ({error})") from error
    if any(weights[key].dim() != 2 for key in (EMBEDDING, HEAD)):
        raise CheckpointError("its embeddings are not a matrix")
    if unused:
        raise CheckpointError(f"it has weights that are unknown here ({', '.join(sorted(unused)[:3])})")
    return {**args, "vocab_size": len(weights[EMBEDDING])}, weights
