"""GPT-2 in Transformers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt
from torch import Tensor

from ml_playground.config.sections import ModelConfig
from ml_playground.interop.huggingface.family import HEAD, PLAIN, Family, Stated, head
from ml_playground.utils.tables import Table

if TYPE_CHECKING:
    from gguf import GGUFWriter

_GELUS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}
_BLOCK = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
_LINEAR = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


class _Stated(Stated):
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


class GPT2(Family):
    """See `Family`. Its linear layers keep their matrices transposed, and it always has biases."""

    hf_class: ClassVar[str] = "GPT2LMHeadModel"
    gguf: ClassVar[str | None] = "gpt2"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"block_size", "n_layer", "n_head", "n_embd", "n_kv_head", "head_dim", "n_inner"}
        | {"bias", "norm_eps", "tied_embeddings"}
    )
    requires: ClassVar[Mapping[str, tuple[Any, ...]]] = PLAIN | {
        "position": ("learned",),
        "norm": ("layernorm",),
        "mlp": tuple(_GELUS),
        "qk_norm": (False,),
        "sliding_window": (0,),
    }

    def blocking_sizes(self, config: ModelConfig) -> Iterator[str]:
        """See `Family`."""
        if config.n_kv_head != config.n_head:
            yield f"n_kv_head = {config.n_kv_head} (not n_head, {config.n_head})"
        if config.head_dim * config.n_head != config.n_embd:
            yield f"head_dim = {config.head_dim} (not n_embd / n_head, {config.n_embd / config.n_head:g})"

    def config_json(self, config: ModelConfig, vocab_size: int) -> dict[str, Any]:
        """See `Family`."""
        return {
            "architectures": [self.hf_class],
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

    def tensors(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """See `Family`."""
        for name, tensor in weights.items():
            yield name, tensor.T if name.endswith(_LINEAR) else tensor
            if not config.bias and name.startswith(("transformer.h.", "transformer.ln_f.")):
                yield name.removesuffix("weight") + "bias", tensor.new_zeros(len(tensor))

    def from_theirs(self, values: Table, unused: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See `Family`."""
        stated = _Stated.model_validate(values)
        has_bias = any(bool(tensor.any()) for name, tensor in unused.items() if name.endswith(".bias"))
        args = {
            "kind": "gpt2",
            "n_layer": stated.n_layer,
            "n_head": stated.n_head,
            "n_embd": stated.n_embd,
            "block_size": stated.n_positions,
            "n_inner": stated.n_inner or 4 * stated.n_embd,
            "mlp": "gelu" if stated.activation_function == "gelu" else "gelu_tanh",
            "norm_eps": stated.layer_norm_epsilon,
            "tied_embeddings": stated.tie_word_embeddings,
            "bias": has_bias,
        }
        parts = [f"h.{layer}.{part}" for layer in range(stated.n_layer) for part in _BLOCK] + ["ln_f"]
        names = ["wte.weight", "wpe.weight", *(f"{part}.{kind}" for part in parts for kind in ("weight", "bias"))]
        prefix = "" if "wte.weight" in unused else "transformer."  # OpenAI's own files on the Hub have no prefix
        found = {f"transformer.{name}": unused.pop(prefix + name) for name in names}
        weights = {
            name: tensor.T if name.endswith(_LINEAR) else tensor
            for name, tensor in found.items()
            if has_bias or not name.endswith(".bias")
        }
        return args, weights | {HEAD: head(args, weights, unused)}

    def write_gguf_shape(self, writer: "GGUFWriter", config: ModelConfig) -> None:
        """See `Family`."""
        writer.add_layer_norm_eps(config.norm_eps)

    def gguf_tensor(self, name: str, tensor: Tensor, config: ModelConfig) -> Tensor:
        """See `Family`: llama.cpp keeps matrices as all other models do."""
        _ = config
        return tensor.T if name.endswith(_LINEAR) else tensor
