"""Embeddings of n-grams."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ml_playground.config.sections import ModelConfig

_MULTIPLIER = 0x9E3779B97F4A7C15 - 2**64  # 2^64 over the golden ratio as a signed integer (Knuth, TAOCP 3, section 6.4)


class NgramEmbedding(nn.Module):
    """The sum of a learned vector per bigram, trigram, ... up to `ngram_embeddings` tokens that end at a position.

    A small vocabulary gets a row for every n-gram; where there are more than `ngram_buckets`, a hash makes some share
    one.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.context = config.ngram_embeddings - 1  # tokens before a position that its vector depends on
        self.vocab_size = vocab_size
        self.tables = nn.ModuleList(
            nn.Embedding(min(vocab_size**length, config.ngram_buckets), config.n_embd)
            for length in range(2, config.ngram_embeddings + 1)
        )

    def forward(self, ids: Tensor, before: Tensor) -> Tensor:
        """Vectors (B, T, C) for `ids` (B, T).

        `before` (B, S) are the tokens before them; missing ones count as id 0.
        """
        history = torch.cat((ids.new_zeros(len(ids), self.context), before, ids), dim=1)
        vectors = [
            table(rows) for table, rows in zip(self.tables.children(), self._rows(history, ids.shape[1]), strict=True)
        ]
        return torch.stack(vectors).sum(dim=0) if len(vectors) > 1 else vectors[0]

    def _rows(self, history: Tensor, length: int) -> Iterator[Tensor]:
        """Rows (B, length) of each table for the last positions of `history`."""
        T, S = length, history.shape[1]
        code = history[:, S - T :]
        for back, table in enumerate(self.tables.children(), start=1):
            code = code + history[:, S - T - back : S - back] * self.vocab_size**back
            rows = table.num_embeddings
            yield code if rows == self.vocab_size ** (back + 1) else (code * _MULTIPLIER >> 20) % rows
