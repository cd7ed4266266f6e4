"""Batches on the device that computes with them."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch

from ml_playground.data.batches import IGNORED, Batch, Batches

Step = tuple[list[Batch], int]
"""A step's micro-batches, and in how many of their targets a loss is taken of."""


class Feed:
    """Hands out each step's batches. Copies to a GPU are started without waiting for them.

    With `ahead`, a thread makes the next step's batches while this step's are computed with.
    """

    def __init__(self, batches: Batches, device: torch.device, *, ahead: bool) -> None:
        self._batches = batches
        self._device = device
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[Step]] | None = None

    def __call__(self, step: int) -> Step:
        """The micro-batches of a step on the device, and the number of their targets that are not `IGNORED`."""
        batches, count = self._taken(step)
        return [
            Batch(*(tensor.to(self._device, non_blocking=True) for tensor in (batch.inputs, batch.targets)))
            for batch in batches
        ], count

    def _taken(self, step: int) -> Step:
        if self._thread is None:
            return self._made(step)
        ready = self._next[1].result() if self._next is not None and self._next[0] == step else self._made(step)
        self._next = step + 1, self._thread.submit(self._made, step + 1)
        return ready

    def _made(self, step: int) -> Step:
        batches = self._batches(step)
        count = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        if self._device.type == "cuda":  # only from pinned memory does a copy run beside the computation
            batches = [Batch(batch.inputs.pin_memory(), batch.targets.pin_memory()) for batch in batches]
        return batches, count
