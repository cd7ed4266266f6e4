"""Batches on the device that computes with them."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from ml_playground.data.batches import IGNORED, Batch, Batches

StepBatches = tuple[list[Batch], int]
"""A step's micro-batches, and the number of their targets that a loss is taken of."""


class Feed:
    """Hands out each step's batches. Copies to a CUDA device are started without waiting for them.

    With `ahead`, a thread makes the next step's batches while this step's are computed with.
    """

    def __init__(self, batches: Batches, device: torch.device, *, ahead: bool) -> None:
        self._batches = batches
        self._device = device
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[StepBatches]] | None = None

    def __call__(self, step: int) -> StepBatches:
        """The micro-batches of a step on the device, and the number of their targets that are not `IGNORED`."""
        batches, count = self._taken(step)
        return [Batch(self._moved(batch.inputs), self._moved(batch.targets)) for batch in batches], count

    def _moved(self, tensor: Tensor) -> Tensor:
        # Elsewhere than on CUDA the memory that is copied from could be freed before the copy is done.
        return tensor.to(self._device, non_blocking=self._device.type == "cuda")

    def _taken(self, step: int) -> StepBatches:
        if self._thread is None:
            return self._made(step)
        ready = self._next[1].result() if self._next is not None and self._next[0] == step else self._made(step)
        self._next = step + 1, self._thread.submit(self._made, step + 1)
        return ready

    def _made(self, step: int) -> StepBatches:
        batches = self._batches(step)
        count = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        if self._device.type == "cuda":
            batches = [Batch(_pinned(batch.inputs), _pinned(batch.targets)) for batch in batches]
        return batches, count


def _pinned(tensor: Tensor) -> Tensor:
    """A copy from which the GPU reads by itself, beside its computation: in pinned memory and without gaps."""
    return tensor.contiguous().pin_memory()
