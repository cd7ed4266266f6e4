"""What the trainer, the evaluation and the sampler know of a model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ml_playground.models.cache import Cache


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

    def new_cache(self, batch_size: int) -> Cache:
        """An empty memory for `extend`."""
        ids = torch.zeros(batch_size, self.block_size, dtype=torch.int64, device=next(self.parameters()).device)
        return Cache(ids, layers=[])

    def extend(self, ids: Tensor, cache: Cache) -> Tensor:
        """Logits (B, vocab_size) for the token after `ids` (B, T), which follow those in `cache` and join them.

        This one computes everything anew; models that remember keys and values override it.
        """
        cache.append(ids)
        logits: Tensor = self(cache.ids)
        return logits[:, -1]

    def trained_state(self) -> dict[str, Tensor]:
        """What training changes, which checkpoints keep."""
        return self.state_dict()

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `trained_state` gave. Raises RuntimeError if it does not fit."""
        self.load_state_dict(state)

    def convert(self, dtype: torch.dtype) -> None:
        """Have all of it compute in another number format from now on."""
        self.to(dtype)

    def end_training(self) -> None:
        """Give up what only training needs, leaving all else in the weights of the layers."""

    def flops_per_token(self, block_size: int) -> int:  # noqa: ARG002 -- it matters where there is attention
        """Of forward and backward pass, over `block_size` tokens: 6 for each weight that is multiplied.

        Tables of embeddings are looked up, not multiplied.
        """
        return 6 * (self.num_parameters() - sum(table.numel() for table in self.embeddings()))

    def embeddings(self) -> list[Tensor]:
        """Tables with a row per token, n-gram or position, but for one that is the head's matrix too."""
        tied = {module.weight for module in self.modules() if isinstance(module, nn.Linear)}
        tables = [module.weight for module in self.modules() if isinstance(module, nn.Embedding)]
        return [table for table in tables if table not in tied]

    def hidden_matrices(self) -> list[Tensor]:
        """Weights of the linear layers between embeddings and head, each of them 2-dimensional.

        The head is taken to be the last linear layer with an output for each id.
        """
        layers = [module for module in self.modules() if isinstance(module, nn.Linear)]
        heads = [layer for layer in layers if layer.out_features == self.vocab_size]
        return [layer.weight for layer in layers if not heads or layer is not heads[-1]]

    def num_parameters(self) -> int:
        """Number of trainable values; tied ones count once."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
