"""The families of transformers that `[train.model]` names."""

from typing import TYPE_CHECKING

from ml_playground.config.sections import ModelConfig

if TYPE_CHECKING:
    from ml_playground.models.base import LanguageModel


class TransformerOptions(ModelConfig):
    """A decoder-only transformer with a family's defaults."""

    def build(self, vocab_size: int) -> "LanguageModel":
        """See `ModelOptions`."""
        from ml_playground.models.transformer import Transformer

        return Transformer(self, vocab_size)

    def parameters(self, vocab_size: int) -> int | None:
        """See `ModelOptions`."""
        position, mlp = self.position.parameters(self), self.mlp.parameters(self)
        norm, head_norm = (self.norm.parameters(width, self) for width in (self.n_embd, self.head_dim))
        if position is None or mlp is None or norm is None or head_norm is None:
            return None
        queries, keys = self.n_head * self.head_dim, self.n_kv_head * self.head_dim
        attention = self.linear(self.n_embd, queries + 2 * keys) + self.linear(queries, self.n_embd)
        attention += (2 * self.qk_norm + self.value_norm) * head_norm + self.value_embeddings * vocab_size * keys
        norms = (2 if self.norm_placement == "sandwich" else 1) * (2 if mlp else 1)
        rows: int = sum(min(vocab_size**n, self.ngram_buckets) for n in range(2, self.ngram_embeddings + 1))
        rows += vocab_size * (1 if self.tied_embeddings else 2)
        outer_norms = self.embedding_norm + (self.norm_placement != "post")
        return position + rows * self.n_embd + outer_norms * norm + self.n_layer * (attention + mlp + norms * norm)
