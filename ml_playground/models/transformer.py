"""The decoder-only transformer, in every variant that `[train.model]` can specify.

Parameter names and shapes of the kind `gpt2` are nanoGPT's, so that its checkpoints load. Shape letters: B batch, T
time, C width (n_embd), H heads, G heads of keys and values, D width of a head, V vocabulary.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ml_playground.config.sections import ModelConfig
from ml_playground.models.attention import CausalSelfAttention, attention_mask
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache, LayerCache
from ml_playground.models.linear import Linear
from ml_playground.models.ngram import NgramEmbedding
from ml_playground.models.position import Learned, Position


class Block(nn.Module):
    """Attention, then MLP, each added to the residual stream."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        norm = partial(config.norm.build, config.n_embd, config)
        norm_out = norm if config.norm_placement == "sandwich" else nn.Identity
        self.post = config.norm_placement == "post"
        self.drop = nn.Dropout(config.dropout)
        self.ln_1, self.attn, self.ln_1_out = norm(), CausalSelfAttention(config, vocab_size), norm_out()
        self.mlp = config.mlp.build(config)
        if self.mlp is not None:
            self.ln_2, self.ln_2_out = norm(), norm_out()

    def forward(
        self, x: Tensor, ids: Tensor, position: Position, mask: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        """(B, T, C) to (B, T, C); the rest is as in `CausalSelfAttention`."""
        attend = partial(self.attn, ids=ids, position=position, mask=mask, cache=cache)
        x = self._add(x, attend, self.ln_1, self.ln_1_out)
        return x if self.mlp is None else self._add(x, self.mlp, self.ln_2, self.ln_2_out)

    def _add(self, x: Tensor, part: Callable[[Tensor], Tensor], norm: nn.Module, norm_out: nn.Module) -> Tensor:
        summed: Tensor = norm(x + self.drop(part(x))) if self.post else x + self.drop(norm_out(part(norm(x))))
        return summed


class Transformer(LanguageModel):
    """Embeddings, blocks, and a head that predicts the next token."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.block_size = config.block_size
        self.vocab_size = vocab_size
        norm = partial(config.norm.build, config.n_embd, config)
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab_size, config.n_embd),
                "wpe": config.position.build(config),
                "ln_e": norm() if config.embedding_norm else nn.Identity(),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList(Block(config, vocab_size) for _ in range(config.n_layer)),
                "ln_f": nn.Identity() if config.norm_placement == "post" else norm(),
            }
        )
        self.ngrams = NgramEmbedding(config, vocab_size) if config.ngram_embeddings else None
        self.lm_head = Linear(config.n_embd, vocab_size, bias=False)
        if config.tied_embeddings:
            self.transformer["wte"].weight = self.lm_head.weight
        self._initialise()

    def forward(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return self._predict(self._run(ids, None))

    def split(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """See `LanguageModel`."""
        return partial(self._run, cache=None), self._predict

    def new_cache(self, batch_size: int) -> Cache:
        """See `LanguageModel`."""
        cache = super().new_cache(batch_size)
        config, like = self.config, next(self.parameters())
        shape = (batch_size, config.n_kv_head, config.block_size, config.head_dim)
        cache.layers = [LayerCache(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(config.n_layer)]
        return cache

    def extend(self, ids: Tensor, cache: Cache) -> Tensor:
        """See `LanguageModel`."""
        return self._predict(self._run(ids, cache)[:, -1])

    def extend_all(self, ids: Tensor, cache: Cache) -> Tensor:
        """See `LanguageModel`."""
        return self._predict(self._run(ids, cache))

    def embeddings(self) -> list[Tensor]:
        """See `LanguageModel`."""
        position = self.transformer["wpe"]
        return [*super().embeddings(), *([position.weight] if isinstance(position, Learned) else [])]

    def matrix_parameters(self) -> list[Tensor]:
        """See `LanguageModel`."""
        return [module.weight for module in self.transformer["h"].modules() if isinstance(module, nn.Linear)]

    def flops_per_token(self, block_size: int) -> int:
        """See `LanguageModel`, and attention's products (Chowdhery et al. 2022, "PaLM", appendix B)."""
        width = self.config.n_head * self.config.head_dim
        return super().flops_per_token(block_size) + 12 * self.config.n_layer * width * block_size

    def _run(self, ids: Tensor, cache: Cache | None) -> Tensor:
        """The last block's output (B, T, C), normed, for `ids` (B, T), which follow those in `cache`."""
        start = 0 if cache is None else cache.length
        position = cast("Position", self.transformer["wpe"])
        x = self.transformer["wte"](ids)
        if self.ngrams is not None:
            x = x + self.ngrams(ids, ids[:, :0] if cache is None else cache.ids)
        if cache is not None:
            cache.append(ids)
        x = self.transformer["drop"](self.transformer["ln_e"](position.embed(x, start)))
        T = ids.shape[1]
        mask = attention_mask(
            T, start + T, position=position, sliding_window=self.config.sliding_window, device=ids.device
        )
        for index, block in enumerate(self.transformer["h"].children()):
            x = block(x, ids, position, mask, None if cache is None else cache.layers[index])
        normed: Tensor = self.transformer["ln_f"](x)
        return normed

    def _predict(self, x: Tensor) -> Tensor:
        """Logits from the last block's output."""
        logits: Tensor = self.lm_head(x)
        cap = self.config.logit_softcap
        return cap * torch.tanh(logits / cap) if cap else logits

    def _initialise(self) -> None:
        """Normal weights of deviation 0.02, smaller where a block adds to the residual stream (GPT-2, section 2.3).

        With `zero_init` residual projections start at zero, and so do the logits unless the head is tied to the
        embeddings; n-gram and value embeddings always do.
        """
        scaled = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if name.endswith("bias") or name.startswith("ngrams.") or ".v_embed." in name:
                nn.init.zeros_(parameter)
            elif name.endswith("c_proj.weight"):
                nn.init.zeros_(parameter) if self.config.zero_init else nn.init.normal_(parameter, std=scaled)
            elif name == "lm_head.weight" and self.config.zero_init and not self.config.tied_embeddings:
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
