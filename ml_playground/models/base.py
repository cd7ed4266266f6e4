"""The interface of a model to training, evaluation and sampling."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# torch leaves some types out.

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ml_playground.models.cache import Cache

LOGITS_AT_ONCE = 2**27
"""Up to this many logits (512 MiB in float32) a loss computes those of all positions at once."""

_LOGITS_PER_PIECE = 2**25


class LanguageModel(nn.Module, ABC):
    """A network from token ids to next-token logits.

    Attributes:
        block_size: longest input it takes, in tokens.
        vocab_size: number of token ids.
    """

    block_size: int
    vocab_size: int

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) for the token after each of `ids` (B, T), T at most `block_size`."""

    def split(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """The model in two: from ids (B, T) to the head's input (B, T, C), and from that, at any positions, to logits.

        None if the model cannot be split, which is the default.
        """
        return None

    def loss(self, ids: Tensor, targets: Tensor, *, ignored: int) -> Tensor:
        """The summed cross-entropy in nats of `targets` (B, T) given `ids` (B, T), without the `ignored` ones.

        With a large vocabulary the logits of all positions at once would take more memory than all else: above
        `LOGITS_AT_ONCE` they are computed some positions at a time, and again in the backward pass. A compiled model
        computes them all at once, since only its `forward` is compiled.
        """
        wanted = ids.numel() * self.vocab_size
        compiled: object = self._compiled_call_impl
        parts = self.split() if wanted > LOGITS_AT_ONCE and compiled is None else None
        if parts is None:
            return _summed(self(ids), targets, ignored)
        body, head = parts
        rows = max(1, _LOGITS_PER_PIECE // self.vocab_size)
        pieces = zip(torch.split(body(ids).flatten(0, 1), rows), torch.split(targets.flatten(), rows), strict=True)

        def of_piece(hidden: Tensor, wanted: Tensor) -> Tensor:
            return _summed(head(hidden), wanted, ignored)

        # A head uses no random numbers.
        again: Any = partial(checkpoint, of_piece, use_reentrant=False, preserve_rng_state=False)
        losses: list[Tensor] = [again(*piece) for piece in pieces]
        return torch.stack(losses).sum()

    def new_cache(self, batch_size: int) -> Cache:
        """An empty cache for `extend`."""
        ids = torch.zeros(batch_size, self.block_size, dtype=torch.int64, device=next(self.parameters()).device)
        return Cache(ids, layers=[])

    def extend(self, ids: Tensor, cache: Cache) -> Tensor:
        """Logits (B, vocab_size) for the token after `ids` (B, T), which follow those in `cache` and join them.

        The default recomputes everything; models that cache keys and values override it.
        """
        return LanguageModel.extend_all(self, ids, cache)[:, -1]

    def extend_all(self, ids: Tensor, cache: Cache) -> Tensor:
        """As `extend`, but the logits after each of `ids`: (B, T, vocab_size)."""
        cache.append(ids)
        logits: Tensor = self(cache.ids)
        return logits[:, -ids.shape[1] :]

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """The weights that training changes, which checkpoints keep."""
        return self.state_dict()

    def load_trainable_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `trainable_state_dict` returned. Raises RuntimeError if it does not fit."""
        self.load_state_dict(state)

    def cast(self, dtype: torch.dtype) -> None:
        """Convert the model to another number format."""
        self.to(dtype)

    def finalize(self) -> None:
        """Drop what only training needs and merge the rest into the weights of the layers."""

    def flops_per_token(self, block_size: int) -> int:  # noqa: ARG002 -- it matters where there is attention
        """Of forward and backward pass, in blocks of `block_size` tokens: 6 for each weight that is multiplied.

        Embedding tables are looked up, not multiplied.
        """
        return 6 * (self.num_parameters() - sum(table.numel() for table in self.embeddings()))

    def embeddings(self) -> list[Tensor]:
        """Embedding tables, with a row per token, n-gram or position, except one that is tied to the head."""
        tied = {module.weight for module in self.modules() if isinstance(module, nn.Linear)}
        tables = [module.weight for module in self.modules() if isinstance(module, nn.Embedding)]
        return [table for table in tables if table not in tied]

    def token_embedding(self) -> nn.Module | None:
        """The module from ids (B, T) to their vectors (B, T, C), None if there is none.

        The default is the first embedding table with a row for each id.
        """
        tables = (module for module in self.modules() if isinstance(module, nn.Embedding))
        return next((table for table in tables if table.num_embeddings >= self.vocab_size), None)

    def matrix_parameters(self) -> list[Tensor]:
        """Weights of the linear layers between embeddings and head, each of them 2-dimensional.

        The head is taken to be the last linear layer with an output for each id.
        """
        layers = [module for module in self.modules() if isinstance(module, nn.Linear)]
        heads = [layer for layer in layers if layer.out_features == self.vocab_size]
        return [layer.weight for layer in layers if not heads or layer is not heads[-1]]

    def num_parameters(self) -> int:
        """Number of trainable values; tied ones count once."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)


def _summed(logits: Tensor, targets: Tensor, ignored: int) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=ignored, reduction="sum")
