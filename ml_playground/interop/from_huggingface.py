"""Models in Hugging Face's format, in our terms: the way back from `models/huggingface.py`."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ml_playground.errors import CheckpointError
from ml_playground.models.huggingface import GPT2_BLOCK, GPT2_LINEAR, LLAMA_BLOCK, LLAMA_REST
from ml_playground.utils.model_folder import read_table, require_readable
from ml_playground.utils.tables import is_table

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # computed, but written by older versions

FILES = ("config.json", "*.safetensors", _INDEX, "tokenizer.json", "tokenizer_config.json")
"""Patterns of what is read."""


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Model arguments and weights in float32, in our terms.

    Raises:
        CheckpointError: files are missing or damaged, or the model does something that ours cannot.
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
                raise CheckpointError(f"{index.name} names {name}, which is not a file beside it")
            tensors |= load_file(reading)
    except FileNotFoundError as error:
        hint = " Name its ckpt_best.pt." if (folder / "ckpt_best.pt").is_file() else ""
        raise CheckpointError(f"{reading.name} is missing: not a model in Hugging Face's format.{hint}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{reading.name} is damaged ({error})") from error
    return from_huggingface(values, tensors)


class _Shape(BaseModel):
    """What a `config.json` must say, and may not say otherwise; the rest of it does not matter here."""

    model_config = ConfigDict(strict=True, frozen=True)

    quantization_config: None = None


class _GPT2Shape(_Shape):
    n_layer: PositiveInt
    n_head: PositiveInt
    n_embd: PositiveInt
    n_positions: PositiveInt
    n_inner: PositiveInt | None = None
    activation_function: Literal["gelu_new", "gelu_pytorch_tanh", "gelu"] = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True
    scale_attn_weights: Literal[True] = True
    scale_attn_by_inverse_layer_idx: Literal[False] = False
    add_cross_attention: Literal[False] = False


class _Rope(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    rope_type: Literal["default"] = "default"
    type: Literal["default"] = "default"  # its name in older files
    partial_rotary_factor: float = Field(default=1.0, ge=1, le=1)
    rope_theta: float | None = None


class _LlamaShape(_Shape):
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    max_position_embeddings: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    hidden_act: Literal["silu"] = "silu"
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    rope_parameters: _Rope | None = None
    rope_scaling: _Rope | None = None  # their name in older files
    rope_theta: float = 10_000.0
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    use_sliding_window: bool = False
    sliding_window: PositiveInt | None = 4096  # which is what the classes with windows take it for
    max_window_layers: int = 28

    def window(self, name: str) -> int:
        """The sliding window that all layers have, 0 if none has one. Raises CheckpointError if only some do."""
        layers = range(self.num_hidden_layers)
        if name == "LlamaForCausalLM":  # which has none, whatever is said
            slide = {False}
        elif name == "MistralForCausalLM":
            slide = {True}
        elif self.layer_types is None:
            slide = {self.use_sliding_window and layer >= self.max_window_layers for layer in layers}
        elif len(self.layer_types) == len(layers):
            slide = {kind == "sliding_attention" for kind in self.layer_types}
        else:
            raise CheckpointError(f"its config.json has {len(self.layer_types)} layer_types for {len(layers)} layers")
        if len(slide) > 1:
            raise CheckpointError("some of its layers have a sliding window and some do not")
        return self.sliding_window or 0 if slide == {True} else 0


def from_huggingface(values: object, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Model arguments and weights of ours for a model in Hugging Face's format.

    Args:
        values: its `config.json`.
        tensors: its tensors by name.

    Raises:
        CheckpointError: the model is of no class that is known here, or does something that ours cannot.
    """
    classes = values.get("architectures") if is_table(values) else None
    name = str(classes[0]) if isinstance(classes, list) and classes else "not stated"
    left = {key: tensor.float() for key, tensor in tensors.items() if not key.endswith(_BUFFERS)}
    if short := [key for key in left if not tensors[key].is_floating_point() or tensors[key].itemsize < 2]:
        raise CheckpointError(f"its weights are quantised ({short[0]}), which is not known here")
    try:
        if name == "GPT2LMHeadModel":
            args, weights = _from_gpt2(_GPT2Shape.model_validate(values), left)
        elif name in ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"):
            args, weights = _from_llama(_LlamaShape.model_validate(values), left, name)
        else:
            raise CheckpointError(f"its class is {name}; GPT-2, Llama, Mistral, Qwen2 and Qwen3 are known here")
    except KeyError as error:
        raise CheckpointError(f"its weights lack {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"its config.json says {at} = {first['input']!r}: {first['msg']}") from error
    except RuntimeError as error:
        raise CheckpointError(f"its weights do not fit each other ({error})") from error
    if any(weights[key].dim() != 2 for key in ("transformer.wte.weight", "lm_head.weight")):
        raise CheckpointError("its embeddings are no matrix")
    if left:
        raise CheckpointError(f"it has weights that are not known here ({', '.join(sorted(left)[:3])})")
    return {**args, "vocab_size": len(weights["transformer.wte.weight"])}, weights


def _from_gpt2(shape: _GPT2Shape, left: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Takes what it uses out of `left`."""
    has_bias = any(bool(tensor.any()) for name, tensor in left.items() if name.endswith(".bias"))
    args = {
        "kind": "gpt2",
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "n_embd": shape.n_embd,
        "block_size": shape.n_positions,
        "n_inner": shape.n_inner or 4 * shape.n_embd,
        "mlp": "gelu" if shape.activation_function == "gelu" else "gelu_tanh",
        "norm_eps": shape.layer_norm_epsilon,
        "tied_embeddings": shape.tie_word_embeddings,
        "bias": has_bias,
    }
    parts = [f"h.{layer}.{part}" for layer in range(shape.n_layer) for part in GPT2_BLOCK] + ["ln_f"]
    names = ["wte.weight", "wpe.weight", *(f"{part}.{kind}" for part in parts for kind in ("weight", "bias"))]
    prefix = "" if "wte.weight" in left else "transformer."  # GPT-2 at the hub goes without
    found = {f"transformer.{name}": left.pop(prefix + name) for name in names}
    weights = {
        name: tensor.T if name.endswith(GPT2_LINEAR) else tensor
        for name, tensor in found.items()
        if has_bias or not name.endswith(".bias")
    }
    return args, weights | {"lm_head.weight": _head(args, weights, left)}


def _from_llama(shape: _LlamaShape, left: dict[str, Tensor], name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Takes what it uses out of `left`."""
    rope = shape.rope_parameters or shape.rope_scaling or _Rope()
    bias = any(key.endswith(".bias") for key in left)
    args = {
        "kind": "qwen3" if name == "Qwen3ForCausalLM" else "llama",
        "n_layer": shape.num_hidden_layers,
        "n_head": shape.num_attention_heads,
        "n_embd": shape.hidden_size,
        "block_size": shape.max_position_embeddings,
        "n_kv_head": shape.num_key_value_heads or shape.num_attention_heads,
        "head_dim": shape.head_dim or shape.hidden_size // shape.num_attention_heads,
        "n_inner": shape.intermediate_size,
        "norm_eps": shape.rms_norm_eps,
        "position": {"kind": "rope", "theta": rope.rope_theta or shape.rope_theta},
        "tied_embeddings": shape.tie_word_embeddings,
        "bias": bias,
        "sliding_window": shape.window(name),
    }
    weights = {ours: left.pop(theirs) for ours, theirs in LLAMA_REST.items() if ours != "lm_head.weight"}
    for layer in range(shape.num_hidden_layers):
        for ours, parts in LLAMA_BLOCK.items():
            if ours in ("attn.q_norm", "attn.k_norm") and name != "Qwen3ForCausalLM":
                continue
            names = [f"model.layers.{layer}.{part}" for part in parts]
            matrices = [left.pop(f"{part}.weight") for part in names]
            weights[f"transformer.h.{layer}.{ours}.weight"] = torch.cat(matrices)
            if bias and matrices[0].dim() == 2:  # some have biases in some layers; zeros do nothing in the others
                zeros = [matrix.new_zeros(len(matrix)) for matrix in matrices]
                found = [left.pop(f"{part}.bias", zero) for part, zero in zip(names, zeros, strict=True)]
                weights[f"transformer.h.{layer}.{ours}.bias"] = torch.cat(found)
    return args, weights | {"lm_head.weight": _head(args, weights, left)}


def _head(args: dict[str, Any], weights: Mapping[str, Tensor], left: dict[str, Tensor]) -> Tensor:
    """The matrix of the head; where one that should be tied is there and is another, it is not tied after all."""
    embedding = weights["transformer.wte.weight"]
    if not args["tied_embeddings"]:
        return left.pop("lm_head.weight")
    head = left.pop("lm_head.weight", embedding)
    args["tied_embeddings"] = torch.equal(head, embedding)
    return head
