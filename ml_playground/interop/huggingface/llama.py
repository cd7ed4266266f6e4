"""Llama in Transformers, and the classes that differ little from it: Mistral, Qwen2 and Qwen3."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError
from ml_playground.interop.huggingface.family import EMBEDDING, HEAD, PLAIN, Family, Stated, head
from ml_playground.utils.tables import Table

if TYPE_CHECKING:
    from gguf import GGUFWriter

_BLOCK: dict[str, tuple[str, ...]] = {
    "ln_1": ("input_layernorm",),
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.o_proj",),
    "attn.q_norm": ("self_attn.q_norm",),
    "attn.k_norm": ("self_attn.k_norm",),
    "ln_2": ("post_attention_layernorm",),
    "mlp.c_fc": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.c_proj": ("mlp.down_proj",),
}
_QK_NORMS = ("attn.q_norm", "attn.k_norm")
_REST = {
    EMBEDDING: "model.embed_tokens.weight",
    "transformer.ln_f.weight": "model.norm.weight",
    HEAD: "lm_head.weight",
}
_PLAIN = PLAIN | {"position": ("rope",), "norm": ("rmsnorm",), "mlp": ("swiglu",)}
_CARRIED = frozenset(
    {"block_size", "n_layer", "n_head", "n_embd", "n_kv_head", "head_dim", "n_inner"}
    | {"position.theta", "norm_eps", "tied_embeddings"}
)


class _Rope(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    rope_type: Literal["default"] = "default"
    type: Literal["default"] = "default"  # its name in older files
    partial_rotary_factor: float = Field(default=1.0, ge=1, le=1)
    rope_theta: float | None = None


class _Stated(Stated):
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
    sliding_window: PositiveInt | None = 4096  # the default of the classes with windows
    max_window_layers: int = 28


class Llama(Family):
    """See `Family`."""

    hf_class: ClassVar[str] = "LlamaForCausalLM"
    gguf: ClassVar[str | None] = "llama"
    kind: ClassVar[str] = "llama"
    carries: ClassVar[frozenset[str]] = _CARRIED | {"bias"}
    requires: ClassVar[Mapping[str, tuple[Any, ...]]] = _PLAIN | {"qk_norm": (False,), "sliding_window": (0,)}

    def blocking_sizes(self, config: ModelConfig) -> Iterator[str]:
        """See `Family`."""
        if config.n_embd % config.n_head:
            yield f"n_head = {config.n_head} (which does not divide n_embd, {config.n_embd})"

    def config_json(self, config: ModelConfig, vocab_size: int) -> dict[str, Any]:
        """See `Family`."""
        return {
            "architectures": [self.hf_class],
            "model_type": self.hf_class.removesuffix("ForCausalLM").lower(),
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
            "rope_theta": _theta(config),
            "attention_dropout": config.dropout,
            "tie_word_embeddings": config.tied_embeddings,
            **self.own_values(config),
        }

    def own_values(self, config: ModelConfig) -> dict[str, Any]:
        """Keys that the `config.json` of this class has and those of the others lack."""
        return {"attention_bias": config.bias, "mlp_bias": config.bias}

    def windowed_layers(self, stated: _Stated) -> set[bool]:
        """Whether the layers of a model have a sliding window: yes, no, or some of each."""
        _ = stated
        return {False}

    def tensors(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """See `Family`."""
        for ours, theirs in _REST.items():
            if ours in weights:
                yield theirs, weights[ours]
        for layer in range(config.n_layer):
            for ours, parts in _BLOCK.items():
                for kind in ("weight", "bias"):
                    tensor = weights.get(f"transformer.h.{layer}.{ours}.{kind}")
                    if tensor is not None:
                        matrices = torch.split(tensor, _sizes(config, ours, len(tensor)))
                        for part, rows in zip(parts, matrices, strict=True):
                            yield f"model.layers.{layer}.{part}.{kind}", rows

    def from_theirs(self, values: Table, unused: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See `Family`."""
        stated = _Stated.model_validate(values)
        rope = stated.rope_parameters or stated.rope_scaling or _Rope()
        bias = any(key.endswith(".bias") for key in unused)
        windowed = self.windowed_layers(stated)
        if len(windowed) > 1:
            raise CheckpointError("some of its layers have a sliding window and some do not")
        args = {
            "kind": self.kind,
            "n_layer": stated.num_hidden_layers,
            "n_head": stated.num_attention_heads,
            "n_embd": stated.hidden_size,
            "block_size": stated.max_position_embeddings,
            "n_kv_head": stated.num_key_value_heads or stated.num_attention_heads,
            "head_dim": stated.head_dim or stated.hidden_size // stated.num_attention_heads,
            "n_inner": stated.intermediate_size,
            "norm_eps": stated.rms_norm_eps,
            "position": {"kind": "rope", "theta": rope.rope_theta or stated.rope_theta},
            "tied_embeddings": stated.tie_word_embeddings,
            "bias": bias,
            "sliding_window": stated.sliding_window or 0 if windowed == {True} else 0,
        }
        weights = {ours: unused.pop(theirs) for ours, theirs in _REST.items() if ours != HEAD}
        for layer in range(stated.num_hidden_layers):
            weights |= self._layer_from_theirs(layer, unused, bias=bias)
        return args, weights | {HEAD: head(args, weights, unused)}

    def _layer_from_theirs(self, layer: int, unused: dict[str, Tensor], *, bias: bool) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {}
        for ours, parts in _BLOCK.items():
            if ours in _QK_NORMS and self.requires["qk_norm"] == (False,):
                continue
            names = [f"model.layers.{layer}.{part}" for part in parts]
            matrices = [unused.pop(f"{part}.weight") for part in names]
            weights[f"transformer.h.{layer}.{ours}.weight"] = torch.cat(matrices)
            if bias and matrices[0].dim() == 2:  # some have biases in some layers; zeros do nothing in the others
                zeros = [matrix.new_zeros(len(matrix)) for matrix in matrices]
                found = [unused.pop(f"{part}.bias", zero) for part, zero in zip(names, zeros, strict=True)]
                weights[f"transformer.h.{layer}.{ours}.bias"] = torch.cat(found)
        return weights

    def write_gguf_shape(self, writer: "GGUFWriter", config: ModelConfig) -> None:
        """See `Family`."""
        writer.add_layer_norm_rms_eps(config.norm_eps)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(_theta(config))

    def gguf_tensor(self, name: str, tensor: Tensor, config: ModelConfig) -> Tensor:
        """See `Family`: llama.cpp rotates neighbouring pairs, Transformers pairs half a head apart."""
        if "q_proj" in name:
            return _interleaved(tensor, config.n_head)
        return _interleaved(tensor, config.n_kv_head) if "k_proj" in name else tensor


class Mistral(Llama):
    """See `Family`: a Llama whose layers all have a sliding window, for which llama.cpp has no architecture."""

    hf_class: ClassVar[str] = "MistralForCausalLM"
    gguf: ClassVar[str | None] = None
    carries: ClassVar[frozenset[str]] = _CARRIED | {"sliding_window"}
    requires: ClassVar[Mapping[str, tuple[Any, ...]]] = _PLAIN | {"qk_norm": (False,), "bias": (False,)}

    def own_values(self, config: ModelConfig) -> dict[str, Any]:
        """See `Llama`."""
        return {"sliding_window": config.sliding_window}

    def windowed_layers(self, stated: _Stated) -> set[bool]:
        """See `Llama`."""
        _ = stated
        return {True}


class Qwen2(Llama):
    """See `Family`: a Llama with biases in queries, keys and values alone, which `[train.model]` cannot express."""

    hf_class: ClassVar[str] = "Qwen2ForCausalLM"
    gguf: ClassVar[str | None] = None
    exported: ClassVar[bool] = False

    def windowed_layers(self, stated: _Stated) -> set[bool]:
        """See `Llama`."""
        layers = range(stated.num_hidden_layers)
        if stated.layer_types is None:
            return {stated.use_sliding_window and layer >= stated.max_window_layers for layer in layers}
        if len(stated.layer_types) != len(layers):
            raise CheckpointError(f"its config.json has {len(stated.layer_types)} layer_types for {len(layers)} layers")
        return {kind == "sliding_attention" for kind in stated.layer_types}


class Qwen3(Qwen2):
    """See `Family`: without these biases, but with norms of queries and keys."""

    hf_class: ClassVar[str] = "Qwen3ForCausalLM"
    gguf: ClassVar[str | None] = "qwen3"
    exported: ClassVar[bool] = True
    kind: ClassVar[str] = "qwen3"
    carries: ClassVar[frozenset[str]] = _CARRIED | {"sliding_window"}
    requires: ClassVar[Mapping[str, tuple[Any, ...]]] = _PLAIN | {"qk_norm": (True,), "bias": (False,)}

    def own_values(self, config: ModelConfig) -> dict[str, Any]:
        """See `Llama`."""
        if not config.sliding_window:
            return {}
        return {"use_sliding_window": True, "sliding_window": config.sliding_window, "max_window_layers": 0}

    def gguf_tensor(self, name: str, tensor: Tensor, config: ModelConfig) -> Tensor:
        """See `Family`: here llama.cpp rotates the same pairs as Transformers."""
        _ = name, config
        return tensor


def _theta(config: ModelConfig) -> float:
    """The base of a model's rotary positions, which all of these classes require."""
    theta: float = config.position.model_dump()["theta"]
    return theta


def _sizes(config: ModelConfig, ours: str, rows: int) -> list[int]:
    """How many rows each part of a built-in module has."""
    queries, keys = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
    return {"attn.c_attn": [queries, keys, keys], "mlp.c_fc": [config.n_inner, config.n_inner]}.get(ours, [rows])


def _interleaved(rows: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys with the two halves of each head interleaved."""
    halves = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)
