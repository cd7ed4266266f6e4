"""Models as Hugging Face's Transformers names and lays out their parts.

Only what a `config.json` says and what its tensors are called: nothing here needs that library. Which class a model is
follows from its parts, whatever its `kind`. The way back is in `pretrained/huggingface.py`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ml_playground.config.parts import Part
from ml_playground.config.sections import ModelConfig
from ml_playground.errors import ExportError

_COMMON: dict[str, Any] = {
    "norm_placement": "pre",
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
LLAMA_BLOCK: dict[str, tuple[str, ...]] = {
    "ln_1": ("input_layernorm",),
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.o_proj",),
    "attn.q_norm": ("self_attn.q_norm",),
    "attn.k_norm": ("self_attn.k_norm",),
    "ln_2": ("post_attention_layernorm",),
    "mlp.c_fc": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.c_proj": ("mlp.down_proj",),
}
LLAMA_REST = {
    "transformer.wte.weight": "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
}
GPT2_BLOCK = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
GPT2_LINEAR = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def hf_class(config: ModelConfig) -> str:
    """The name of the class in Transformers that computes what a model with these parts does.

    Raises:
        ExportError: there is none; the message names the options that stand in the way of the nearest one.
    """
    blocking_options = {name: list(_differences(config, name)) for name in CLASSES}
    name = min(blocking_options, key=lambda name: len(blocking_options[name]))
    if blocking_options[name]:
        raise ExportError(
            f"no class in Transformers computes what this model does. The nearest is {name}; in its way stand, "
            f"in [train.model]: {', '.join(blocking_options[name])}."
        )
    return name


def _differences(config: ModelConfig, name: str) -> Iterator[str]:
    """The options that keep a model from being of the class `name`."""
    for option, wanted in CLASSES[name].items():
        value = getattr(config, option)
        value = value.kind if isinstance(value, Part) else value
        if value != wanted:
            yield f"{option} = {json.dumps(value, default=str)} (not {json.dumps(wanted)})"
    if name == "GPT2LMHeadModel":
        if config.mlp.kind not in _GELUS:
            yield f'mlp = "{config.mlp.kind}" (not "gelu" or "gelu_tanh")'
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
    name = hf_class(config)
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
        "activation_function": _GELUS[config.mlp.kind],
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "tie_word_embeddings": config.tied_embeddings,
    }


def _gpt2_tensors(config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights.items():
        yield name, tensor.T if name.endswith(GPT2_LINEAR) else tensor
        if not config.bias and name.startswith(("transformer.h.", "transformer.ln_f.")):
            yield name.removesuffix("weight") + "bias", tensor.new_zeros(len(tensor))  # which GPT-2 always has


def theta_of(config: ModelConfig) -> float:
    """The base of a model's rotary positions, which the classes that ask for it all have."""
    theta: float = config.position.model_dump()["theta"]
    return theta


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
        "rope_theta": theta_of(config),
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
    for ours, theirs in LLAMA_REST.items():
        if ours in weights:
            yield theirs, weights[ours]
    for layer in range(config.n_layer):
        for ours, parts in LLAMA_BLOCK.items():
            for kind in ("weight", "bias"):
                tensor = weights.get(f"transformer.h.{layer}.{ours}.{kind}")
                if tensor is not None:
                    for part, rows in zip(parts, torch.split(tensor, _sizes(config, ours, len(tensor))), strict=True):
                        yield f"model.layers.{layer}.{part}.{kind}", rows


def _sizes(config: ModelConfig, ours: str, rows: int) -> list[int]:
    """How many rows each part of a module of ours has."""
    queries, keys = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
    return {"attn.c_attn": [queries, keys, keys], "mlp.c_fc": [config.n_inner, config.n_inner]}.get(ours, [rows])
