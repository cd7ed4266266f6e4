"""Batches as a pure function of the step: nothing to save, nothing to restore."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ml_playground.data.store import Tokens
from ml_playground.errors import DataError

Offsets = npt.NDArray[np.int64]


IGNORED = -1  # a target left out of the loss


@dataclass(frozen=True)
class Batch:
    """Inputs and the tokens that follow them, both (B, T) int64."""

    inputs: Tensor
    targets: Tensor


class Batches:
    """The training batches of a run. Step `i` always gets the same ones, whatever happened before."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        block_size: int,
        batch_size: int,
        grad_accum_steps: int,
        sampler: Literal["random", "sequential", "epoch"],
        seed: int,
    ) -> None:
        """Raises DataError if `tokens` has no room for one window of `block_size` inputs and their targets."""
        if len(tokens) <= block_size:
            raise DataError(
                f"the training text has {len(tokens):,} tokens, too few for block_size = {block_size}. "
                "Add text, or make [train.data] block_size smaller."
            )
        self._windows = np.lib.stride_tricks.sliding_window_view(tokens, block_size + 1)
        self.tokens_per_step = batch_size * grad_accum_steps * block_size
        self._batch_size = batch_size
        self._per_step = batch_size * grad_accum_steps
        self._offsets = _SAMPLERS[sampler](len(tokens), block_size, seed)

    def offsets(self, step: int) -> Offsets:
        """The first token of each window of a step, shape (grad_accum_steps * batch_size,)."""
        return self._offsets(step * self._per_step, self._per_step)

    def describe(self, step: int) -> str:
        """What a step trains on, for a message."""
        offsets = self.offsets(step)
        first = ", ".join(str(offset) for offset in offsets[:4]) + (", ..." if len(offsets) > 4 else "")
        return f"batch {step}, windows from tokens {first} of the training text"

    def __call__(self, step: int) -> list[Batch]:
        """The micro-batches of a step, on the CPU.

        The windows of a step do not depend on how they are cut into micro-batches.
        """
        windows = torch.as_tensor(self._windows[self.offsets(step)].astype(np.int64))  # (grad_accum_steps * B, T + 1)
        return [
            Batch(rows[:, :-1], rows[:, 1:]) for rows in windows.view(-1, self._batch_size, windows.shape[1]).unbind()
        ]


OffsetsOf = Callable[[int, int], Offsets]  # (index of the first sample, number of samples) -> offsets


def _random(length: int, block_size: int, seed: int) -> OffsetsOf:
    def offsets(first: int, count: int) -> Offsets:
        return np.random.default_rng((seed, first)).integers(0, length - block_size, count)

    return offsets


def _sequential(length: int, block_size: int, _seed: int) -> OffsetsOf:
    windows = (length - 1) // block_size

    def offsets(first: int, count: int) -> Offsets:
        return np.arange(first, first + count) % windows * block_size

    return offsets


def _epoch(length: int, block_size: int, seed: int) -> OffsetsOf:
    windows = (length - 1) // block_size

    @lru_cache(maxsize=2)
    def order(epoch: int) -> Offsets:
        return np.random.default_rng((seed, epoch)).permutation(windows)

    def offsets(first: int, count: int) -> Offsets:
        epochs, places = np.divmod(np.arange(first, first + count), windows)
        picked = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            picked[here] = order(int(epoch))[places[here]]
        return picked * block_size

    return offsets


_SAMPLERS = {"random": _random, "sequential": _sequential, "epoch": _epoch}
