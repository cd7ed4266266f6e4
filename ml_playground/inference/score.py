"""The loss of each token of a text."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.models.base import LanguageModel

_LOGITS_AT_ONCE = 2**26  # 256 MiB in float32


@torch.no_grad()
def token_losses(model: LanguageModel, ids: Tensor) -> Tensor:
    """The loss of each token given those before it.

    The ids are cut as validation cuts them: into windows of `block_size` predictions, each with the ids of its window
    as context. So the mean over a validation split is its `val/loss`.

    Args:
        model: the model, on any device; its mode (training or evaluation) is kept.
        ids: token ids, shape (T + 1,), at least 2. Nothing predicts the first.

    Returns:
        Losses of `ids[1:]` in nats (divide by ln 2 for bits), shape (T,), float32, on the CPU.

    Raises:
        ValueError: there is nothing to predict.
    """
    if ids.ndim != 1 or len(ids) < 2:
        raise ValueError(f"ids of shape {tuple(ids.shape)}: expected one row of at least 2")
    device, training = next(model.parameters()).device, model.training
    ids = ids.to(device, torch.int64)
    size, count = model.block_size, len(ids) - 1
    full = count // size * size
    rows = max(1, _LOGITS_AT_ONCE // (size * model.vocab_size))
    ends = [*range(0, full, rows * size), full]
    pieces = [(start, end, size) for start, end in pairwise(ends)]
    if full < count:
        pieces.append((full, count, count - full))
    model.eval()
    try:
        losses = [_losses(model, ids[start : end + 1], width) for start, end, width in pieces]
    finally:
        model.train(training)
    return torch.cat(losses)


def _losses(model: LanguageModel, ids: Tensor, width: int) -> Tensor:
    """Losses (T,) of the ids after the first, in windows of `width`."""
    logits = model(ids[:-1].view(-1, width))  # (B, T, V)
    return F.cross_entropy(logits.float().flatten(0, 1), ids[1:], reduction="none").cpu()
