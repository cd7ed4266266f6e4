"""The forward and backward pass of a step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ml_playground.data.batches import IGNORED, Batch
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime


def forward_backward(
    model: LanguageModel, batches: Sequence[Batch], num_targets: int, *, runtime: Runtime, scaler: torch.GradScaler
) -> Tensor:
    """Accumulate the gradients of the mean loss over all targets of a step's micro-batches.

    Args:
        model: receives the gradients, multiplied by the scale of `scaler`.
        batches: on the device.
        num_targets: how many of their targets are not `IGNORED`.
        runtime: where and in which number format the forward pass runs.
        scaler: the loss scale.

    Returns:
        That mean loss in nats per token, still on the device.
    """
    total = torch.zeros((), device=runtime.device)
    for batch in batches:
        with runtime.autocast():
            loss = model.loss(batch.inputs, batch.targets, ignored=IGNORED)
        torch.autograd.backward(scaler.scale(loss / num_targets))
        total += loss.detach() / num_targets
    return runtime.sum(total)
