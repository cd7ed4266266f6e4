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
