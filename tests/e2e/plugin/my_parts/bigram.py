"""A model of one table."""

from pydantic import Field
from torch import Tensor, nn

from ml_playground.config.sections import ModelOptions
from ml_playground.models.base import LanguageModel


class BigramOptions(ModelOptions):
    """The next token depends on the last one only."""

    deviation: float = Field(0.1, gt=0, description="of the initial weights")

    def build(self, vocab_size: int) -> LanguageModel:
        """See `ModelOptions`."""
        return Bigram(self.block_size, vocab_size, self.deviation)


class Bigram(LanguageModel):
    """A row of logits per token."""

    def __init__(self, block_size: int, vocab_size: int, deviation: float) -> None:
        super().__init__()
        self.block_size, self.vocab_size = block_size, vocab_size
        self.table = nn.Embedding(vocab_size, vocab_size)
        nn.init.normal_(self.table.weight, std=deviation)

    def forward(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        logits: Tensor = self.table(ids)
        return logits
