"""Loads batches and moves them to the device."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from ml_playground.data.batches import IGNORED, Batch

StepBatches = tuple[list[Batch], int]
"""A step's micro-batches, and the number of their targets that count towards the loss."""


class Prefetcher:
    """Provides each step's batches. Copies to a CUDA device are asynchronous.

    With `ahead`, a thread loads the next step's batches while this step is computed.
    """

    def __init__(self, batches: Callable[[int], list[Batch]], device: torch.device, *, ahead: bool) -> None:
        """`batches` maps a step to its micro-batches on the CPU."""
        self._batches = batches
        self._device = device
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[StepBatches]] | None = None

    def take(self, step: int) -> StepBatches:
        """The micro-batches of a step on the device, and the number of their targets that are not `IGNORED`."""
        batches, count = self._ready(step)
        return [Batch(self._to_device(batch.inputs), self._to_device(batch.targets)) for batch in batches], count

    def _to_device(self, tensor: Tensor) -> Tensor:
        # On devices other than CUDA the source memory could be freed before the copy is done.
        return tensor.to(self._device, non_blocking=self._device.type == "cuda")

    def _ready(self, step: int) -> StepBatches:
        if self._thread is None:
            return self._load(step)
        ready = self._next[1].result() if self._next is not None and self._next[0] == step else self._load(step)
        self._next = step + 1, self._thread.submit(self._load, step + 1)
        return ready

    def _load(self, step: int) -> StepBatches:
        batches = self._batches(step)
        count = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        if self._device.type == "cuda":
            batches = [Batch(_pinned(batch.inputs), _pinned(batch.targets)) for batch in batches]
        return batches, count


def _pinned(tensor: Tensor) -> Tensor:
    """A contiguous, pinned copy, so that the transfer overlaps with compute."""
    return tensor.contiguous().pin_memory()
