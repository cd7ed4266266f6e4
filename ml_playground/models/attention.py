"""Causal self-attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.config.sections import ModelConfig
from ml_playground.models.cache import LayerCache
from ml_playground.models.linear import Linear
from ml_playground.models.position import Position


class CausalSelfAttention(nn.Module):
    """Attention in which a position sees itself and what came before; groups of heads may share keys and values.

    Grouped-query attention: Ainslie et al. 2023. Normed queries and keys: Henry et al. 2020. Value embeddings: a vector
    per token added to its values (Zhou et al. 2024, and the modded-nanogpt speedrun).
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.n_head, self.n_kv_head, self.head_dim = config.n_head, config.n_kv_head, config.head_dim
        self.dropout = config.dropout
        queries, keys = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
        self.c_attn = Linear(config.n_embd, queries + 2 * keys, bias=config.bias)  # queries, keys and values at once
        self.c_proj = Linear(queries, config.n_embd, bias=config.bias)
        norm = config.norm.build
        self.q_norm = norm(config.head_dim, config) if config.qk_norm else nn.Identity()
        self.k_norm = norm(config.head_dim, config) if config.qk_norm else nn.Identity()
        self.v_norm = norm(config.head_dim, config) if config.value_norm else nn.Identity()
        self.v_embed = nn.Embedding(vocab_size, keys) if config.value_embeddings else None

    def forward(
        self, x: Tensor, ids: Tensor, position: Position, mask: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        """(B, T, C) to (B, T, C).

        Args:
            x: the residual stream, normed, (B, T, C).
            ids: the tokens, (B, T).
            position: rotates queries and keys.
            mask: see `attention_mask`.
            cache: keys and values of earlier positions, to which those of `x` are appended.
        """
        B, T, _ = x.shape
        heads = self.c_attn(x).view(B, T, self.n_head + 2 * self.n_kv_head, self.head_dim)
        q, k, v = heads.transpose(1, 2).split((self.n_head, self.n_kv_head, self.n_kv_head), dim=1)  # (B, H or G, T, D)
        if self.v_embed is not None:
            v = v + self.v_embed(ids).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)
        start = 0 if cache is None else cache.length
        q, k = position.rotate(self.q_norm(q), start), position.rotate(self.k_norm(k), start)
        v = self.v_norm(v)
        if cache is not None:
            k, v = cache.append(k, v)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask if mask is None or mask.dtype == torch.bool else mask.to(q.dtype),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=mask is None and bool(T > 1),  # a plain bool, even where lengths are symbolic
            enable_gqa=self.n_kv_head != self.n_head,
        )
        out: Tensor = self.c_proj(y.transpose(1, 2).reshape(B, T, -1))
        return out


def attention_mask(
    queries: int, keys: int, *, position: Position, sliding_window: int, device: torch.device
) -> Tensor | None:
    """Which of `keys` positions the last `queries` see, (queries, keys), or a bias on their scores, (H, ., .).

    None if plain causality is enough: as many queries as keys, or a single query that sees every key.
    """
    bias = position.bias(queries, keys)
    windowed = 0 < sliding_window < keys
    if bias is None and not windowed and queries in (1, keys):
        return None
    at = torch.arange(keys, device=device)
    distance = at[keys - queries :, None] - at  # (queries, keys), how far back a key is
    hidden = distance < 0
    if windowed:
        hidden = hidden | (distance >= sliding_window)
    return ~hidden if bias is None else bias.masked_fill(hidden, -torch.inf)
