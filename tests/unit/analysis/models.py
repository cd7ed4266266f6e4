"""Tiny models of every kind that an analysis has to work for, with weights large enough to matter."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ml_playground.finetune.model import FineTuned
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.runtime import resolve

VOCAB = 50
BLOCK_SIZE = 16
RUNTIME = resolve("cpu", "float32")

BUILT_IN: dict[str, dict[str, Any]] = {
    "gpt2": {"kind": "gpt2", "bias": True, "dropout": 0.2},
    "llama": {"kind": "llama", "n_kv_head": 2},
    "qwen3": {"kind": "qwen3", "n_kv_head": 1, "head_dim": 6},
    "modern": {"kind": "modern", "value_embeddings": True, "ngram_embeddings": 3, "logit_softcap": 5.0},
    "alibi": {"kind": "gpt2", "position": "alibi", "norm_placement": "post", "sliding_window": 5},
    "window": {"kind": "llama", "sliding_window": 4, "norm_placement": "sandwich", "value_norm": True},
    "waves": {"kind": "gpt2", "position": "sinusoidal", "mlp": "none", "embedding_norm": True, "n_layer": 1},
}

_SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
_HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
_WINDOWED: dict[str, Any] = {
    "head_dim": 8,
    "sliding_window": 4,
    "layer_types": ["sliding_attention", "full_attention"],
}


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64))


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, tie_word_embeddings=False, **_SIZES, **_HEADS))


def qwen2() -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=VOCAB, tie_word_embeddings=True, **_SIZES, **_HEADS))


def qwen3() -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=VOCAB, head_dim=8, **_SIZES, **_HEADS))


def gemma2() -> PreTrainedModel:
    """It caps its logits, so it cannot be split."""
    return Gemma2ForCausalLM(Gemma2Config(vocab_size=VOCAB, **_WINDOWED, **_SIZES, **_HEADS))


def gemma3() -> PreTrainedModel:
    """It scales its embeddings."""
    return Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=VOCAB, **_WINDOWED, **_SIZES, **_HEADS))


NETWORKS: dict[str, Callable[[], PreTrainedModel]] = {
    "hf-gpt2": gpt2,
    "hf-llama": llama,
    "hf-qwen2": qwen2,
    "hf-qwen3": qwen3,
    "hf-gemma2": gemma2,
    "hf-gemma3": gemma3,
}


def network(name: str) -> PreTrainedModel:
    torch.manual_seed(1)
    made = NETWORKS[name]()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 2:  # as drawn, they all say the same
                parameter.mul_(4)
    return made


def with_lora(made: PreTrainedModel) -> PeftModel:
    """With adapters that do something, and a row of a new token."""
    rows = {"wte" if isinstance(made, GPT2LMHeadModel) else "embed_tokens": [3]}
    options: dict[str, Any] = {"fan_in_fan_out": isinstance(made, GPT2LMHeadModel), "task_type": "CAUSAL_LM"}
    config = LoraConfig(r=2, target_modules="all-linear", trainable_token_indices=rows, **options)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # between the two libraries
        adapted = cast("PeftModel", get_peft_model(made, config))
    with torch.no_grad():
        for each in adapted.parameters():
            if each.requires_grad:
                each.add_(torch.randn(each.shape), alpha=0.2)
    return adapted


def base_of(model: LanguageModel) -> PreTrainedModel:
    """The network of a fine-tuned model, without adapters around it."""
    wrapped = cast("FineTuned", model).network
    return cast("PreTrainedModel", wrapped.get_base_model() if isinstance(wrapped, PeftModel) else wrapped)


class Manual(LanguageModel):
    """A model of a user's own, which computes its attention by hand."""

    def __init__(self, heads_of_layers: Sequence[int] = (2, 2, 2)) -> None:
        super().__init__()
        self.block_size, self.vocab_size = BLOCK_SIZE, VOCAB
        self.wpe, self.wte = nn.Embedding(BLOCK_SIZE, 24), nn.Embedding(VOCAB, 24)
        self.blocks = nn.ModuleList(ManualBlock(heads) for heads in heads_of_layers)
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, VOCAB)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks.children():
            x, _ = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class ManualBlock(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(24), nn.Linear(24, 72), nn.Linear(24, 24)
        self.mlp = nn.Sequential(nn.Linear(24, 24), nn.GELU(), nn.Linear(24, 24))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        B, T, C = x.shape
        q, k, v = (each.view(B, T, self.heads, -1).transpose(1, 2) for each in self.qkv(self.norm(x)).split(C, dim=2))
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf)
        weights = F.softmax(scores, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(x), weights


class Bigram(LanguageModel):
    """It has neither attention nor blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.block_size, self.vocab_size = BLOCK_SIZE, VOCAB
        self.table = nn.Embedding(VOCAB, VOCAB)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.table(ids)
        return logits


ALL = [*BUILT_IN, *NETWORKS, *(f"{name}-lora" for name in NETWORKS), "manual"]


def model_of(name: str) -> LanguageModel:
    """One of `ALL`, in training mode, in which dropout must not matter."""
    torch.manual_seed(0)
    if name == "manual":
        return Manual()
    if name in BUILT_IN:
        sizes = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": BLOCK_SIZE, "vocab_size": VOCAB}
        model = build_model(sizes | BUILT_IN[name])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.3)
        return model
    made = network(name.removesuffix("-lora"))
    return FineTuned(with_lora(made) if name.endswith("-lora") else made, block_size=BLOCK_SIZE)


def passage(length: int = 12) -> list[int]:
    return torch.randint(0, VOCAB, (length,), generator=torch.Generator().manual_seed(2)).tolist()
