"""What the trainer, the evaluation and the sampler know of a model."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class LanguageModel(nn.Module, ABC):
    """A network from token ids to next-token logits.

    Attributes:
        block_size: longest input it takes, in tokens.
        vocab_size: number of ids that it tells apart.
    """

    block_size: int
    vocab_size: int

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) for the token after each of `ids` (B, T), T at most `block_size`."""

    def num_parameters(self) -> int:
        """Number of trainable values; tied ones count once."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
