"""Models as Hugging Face's Transformers names and lays out their parts, both ways.

Only what a `config.json` says and what its tensors are called: nothing here needs that library. Which class a model is
follows from its parts, whatever its `kind`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError, ExportError

_COMMON: dict[str, Any] = {
    "file": None,
    "norm_placement": "pre",
    "mlp_enabled": True,
    "value_norm": False,
    "embedding_norm": False,
    "value_embeddings": False,
    "ngram_embeddings": 0,
    "logit_softcap": 0.0,
}
_GPT2 = {**_COMMON, "position": "learned", "norm": "layernorm", "qk_norm": False, "sliding_window": 0}
_LLAMA = {**_COMMON, "position": "rope", "norm": "rmsnorm", "mlp": "swiglu", "qk_norm": False}
CLASSES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": _GPT2,
    "Qwen3ForCausalLM": {**_LLAMA, "qk_norm": True, "bias": False},
    "LlamaForCausalLM": {**_LLAMA, "sliding_window": 0},
    "MistralForCausalLM": {**_LLAMA, "bias": False},
}
"""What `[train.model]` must be for a model to be one of these classes, which can be made in no other way."""

_GELUS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}
_OUR_GELUS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_LLAMA_BLOCK: dict[str, tuple[str, ...]] = {
    "ln_1": ("input_layernorm",),
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.o_proj",),
    "attn.q_norm": ("self_attn.q_norm",),
    "attn.k_norm": ("self_attn.k_norm",),
    "ln_2": ("post_attention_layernorm",),
    "mlp.c_fc": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.c_proj": ("mlp.down_proj",),
}
_LLAMA_REST = {
    "transformer.wte.weight": "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
}
_GPT2_LINEAR = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def class_of(config: ModelConfig) -> str:
    """The name of the class in Transformers that computes what a model with these parts does.

    Raises:
        ExportError: there is none; the message names the options that stand in the way of the nearest one.
    """
    in_the_way = {name: list(_differences(config, name)) for name in CLASSES}
    name = min(in_the_way, key=lambda name: len(in_the_way[name]))
    if in_the_way[name]:
        raise ExportError(
            f"no class in Transformers computes what this model does. The nearest is {name}; in its way stand, "
            f"in [train.model]: {', '.join(in_the_way[name])}."
        )
    return name


def _differences(config: ModelConfig, name: str) -> Iterator[str]:
    """The options that keep a model from being of the class `name`."""
    for option, wanted in CLASSES[name].items():
        value = getattr(config, option)
        if value != wanted:
            yield f"{option} = {json.dumps(value, default=str)} (not {json.dumps(wanted)})"
    if name == "GPT2LMHeadModel":
        if config.mlp not in _GELUS:
            yield f'mlp = "{config.mlp}" (not "gelu" or "gelu_tanh")'
        if config.n_kv_head != config.n_head:
            yield f"n_kv_head = {config.n_kv_head} (not n_head, {config.n_head})"
        if config.head_dim * config.n_head != config.n_embd:
            yield f"head_dim = {config.head_dim} (not n_embd / n_head, {config.n_embd / config.n_head:g})"
    elif config.n_embd % config.n_head:
        yield f"n_head = {config.n_head} (which does not divide n_embd, {config.n_embd})"


def to_huggingface(
    config: ModelConfig, weights: Mapping[str, Tensor], vocab_size: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `config.json` says of a model (without token ids), and its tensors under their names there.

    Args:
        config: the model's options.
        weights: its state; rows for ids beyond the vocabulary are left out.
        vocab_size: number of ids in the vocabulary.

    Raises:
        ExportError: Transformers has no class for it.
    """
    name = class_of(config)
    rows = {key: weights[key][:vocab_size] for key in ("transformer.wte.weight", "lm_head.weight")}
    weights = {**weights, **rows}
    if config.tied_embeddings:
        del weights["lm_head.weight"]
    if name == "GPT2LMHeadModel":
        return _gpt2_config(config, vocab_size), dict(_gpt2_tensors(config, weights))
    return _llama_config(config, vocab_size, name), dict(_llama_tensors(config, weights))


def _gpt2_config(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocab_size,
        "n_positions": config.block_size,
        "n_ctx": config.block_size,  # what llama.cpp's converter reads
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_inner": config.n_inner,
        "activation_function": _GELUS[config.mlp],
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "tie_word_embeddings": config.tied_embeddings,
    }


def _gpt2_tensors(config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights.items():
        yield name, tensor.T if name.endswith(_GPT2_LINEAR) else tensor
        if not config.bias and name.startswith(("transformer.h.", "transformer.ln_f.")):
            yield name.removesuffix("weight") + "bias", tensor.new_zeros(len(tensor))  # which GPT-2 always has


def _llama_config(config: ModelConfig, vocab_size: int, name: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "architectures": [name],
        "model_type": name.removesuffix("ForCausalLM").lower(),
        "vocab_size": vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": config.n_inner,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.block_size,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "attention_dropout": config.dropout,
        "tie_word_embeddings": config.tied_embeddings,
    }
    if name == "LlamaForCausalLM":
        values |= {"attention_bias": config.bias, "mlp_bias": config.bias}
    elif name == "MistralForCausalLM":
        values |= {"sliding_window": config.sliding_window}
    elif config.sliding_window:
        values |= {"use_sliding_window": True, "sliding_window": config.sliding_window, "max_window_layers": 0}
    return values


def _llama_tensors(config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for ours, theirs in _LLAMA_REST.items():
        if ours in weights:
            yield theirs, weights[ours]
    for layer in range(config.n_layer):
        for ours, parts in _LLAMA_BLOCK.items():
            for kind in ("weight", "bias"):
                tensor = weights.get(f"transformer.h.{layer}.{ours}.{kind}")
                if tensor is not None:
                    for part, rows in zip(parts, torch.split(tensor, _sizes(config, ours, len(tensor))), strict=True):
                        yield f"model.layers.{layer}.{part}.{kind}", rows


def _sizes(config: ModelConfig, ours: str, rows: int) -> list[int]:
    """How many rows each part of a module of ours has."""
    queries, keys = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
    return {"attn.c_attn": [queries, keys, keys], "mlp.c_fc": [config.n_inner, config.n_inner]}.get(ours, [rows])


def from_huggingface(
    values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Model arguments and weights of ours for a model in Hugging Face's format.

    Args:
        values: its `config.json`.
        tensors: its tensors by name.

    Raises:
        CheckpointError: the model is of no class that is known here, or does something that ours cannot.
    """
    name = (values.get("architectures") or ["none"])[0]
    try:
        if name == "GPT2LMHeadModel":
            args, weights = _from_gpt2(values, tensors)
        elif name in ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"):
            args, weights = _from_llama(values, tensors, name)
        else:
            raise CheckpointError(f"its class is {name}; GPT-2, Llama, Mistral, Qwen2 and Qwen3 are known here")
        weights["lm_head.weight"] = weights["transformer.wte.weight" if args["tied_embeddings"] else "lm_head.weight"]
    except KeyError as error:
        raise CheckpointError(f"its config.json or its weights lack {error}") from error
    return {**args, "vocab_size": len(weights["transformer.wte.weight"])}, weights


def _refuse(values: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    for key, choices in allowed.items():
        if values.get(key, choices[0]) not in choices:
            raise CheckpointError(f"its config.json says {key} = {json.dumps(values[key])}, which is not known here")


def _from_gpt2(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    _refuse(
        values,
        {
            "activation_function": ("gelu_new", *_OUR_GELUS),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
    )
    full = {  # GPT-2 at the hub goes without the prefix
        name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}": tensor
        for name, tensor in tensors.items()
    }
    biases = [tensor for name, tensor in full.items() if name.endswith(".bias") and not name.endswith(".attn.bias")]
    has_bias = any(bool(tensor.any()) for tensor in biases)
    args = {
        "kind": "gpt2",
        "n_layer": values["n_layer"],
        "n_head": values["n_head"],
        "n_embd": values["n_embd"],
        "block_size": values["n_positions"],
        "n_inner": values.get("n_inner") or 4 * values["n_embd"],
        "mlp": _OUR_GELUS[values.get("activation_function", "gelu_new")],
        "norm_eps": values.get("layer_norm_epsilon", 1e-5),
        "tied_embeddings": values.get("tie_word_embeddings", True),
        "bias": has_bias,
        "sliding_window": 0,
    }
    weights = {
        name: tensor.T if name.endswith(_GPT2_LINEAR) else tensor
        for name, tensor in full.items()
        if not name.endswith((".attn.bias", ".attn.masked_bias")) and (has_bias or not name.endswith(".bias"))
    }
    return args, weights


def _from_llama(
    values: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    rope: dict[str, Any] = values.get("rope_parameters") or values.get("rope_scaling") or {}
    _refuse(values, {"hidden_act": ("silu",)})
    _refuse(rope, {"rope_type": ("default",), "type": ("default",), "partial_rotary_factor": (1.0,)})
    windowed: set[str] = set(values.get("layer_types") or ())
    if len(windowed) > 1:
        raise CheckpointError("its layers take turns between full attention and a sliding window")
    slides = "sliding_attention" in windowed or name == "MistralForCausalLM" or values.get("use_sliding_window", False)
    n_head, n_embd, n_layer = values["num_attention_heads"], values["hidden_size"], values["num_hidden_layers"]
    bias = any(key.endswith(".bias") for key in tensors)
    args = {
        "kind": "qwen3" if name == "Qwen3ForCausalLM" else "llama",
        "n_layer": n_layer,
        "n_head": n_head,
        "n_embd": n_embd,
        "block_size": values["max_position_embeddings"],
        "n_kv_head": values.get("num_key_value_heads") or n_head,
        "head_dim": values.get("head_dim") or n_embd // n_head,
        "n_inner": values["intermediate_size"],
        "norm_eps": values.get("rms_norm_eps", 1e-6),
        "rope_theta": float(rope.get("rope_theta") or values.get("rope_theta") or 10_000.0),
        "tied_embeddings": values.get("tie_word_embeddings", False),
        "bias": bias,
        "sliding_window": (values.get("sliding_window") or 0) if slides else 0,
    }
    weights = {ours: tensors[theirs] for ours, theirs in _LLAMA_REST.items() if theirs in tensors}
    for layer in range(n_layer):
        for ours, parts in _LLAMA_BLOCK.items():
            names = [f"model.layers.{layer}.{part}" for part in parts]
            if ours in ("attn.q_norm", "attn.k_norm") and name != "Qwen3ForCausalLM":
                continue
            matrices = [tensors[f"{part}.weight"] for part in names]
            weights[f"transformer.h.{layer}.{ours}.weight"] = torch.cat(matrices)
            if bias and matrices[0].dim() == 2:  # some have biases in some layers; zeros do nothing in the others
                zeros = [matrix.new_zeros(len(matrix)) for matrix in matrices]
                found = [tensors.get(f"{part}.bias", zero) for part, zero in zip(names, zeros, strict=True)]
                weights[f"transformer.h.{layer}.{ours}.bias"] = torch.cat(found)
    return args, weights
