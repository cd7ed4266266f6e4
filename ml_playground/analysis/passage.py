"""A passage as a model reads it."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime

Parts = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def row_of(ids: Sequence[int], model: LanguageModel, runtime: Runtime) -> Tensor:
    """One row (1, T) for `model`, on the runtime's device.

    Raises:
        ValueError: there are no ids, or more than the model's `block_size`.
    """
    if not 1 <= len(ids) <= model.block_size:
        raise ValueError(f"{len(ids)} tokens: expected 1 to {model.block_size}")
    return torch.as_tensor(ids, dtype=torch.int64, device=runtime.device)[None]


def fits_forward(model: LanguageModel, method: str) -> bool:
    """Whether a method of the model computes what its `forward` does: not if a subclass overrides that alone."""
    defined = [
        next(at for at, each in enumerate(type(model).__mro__) if name in vars(each)) for name in (method, "forward")
    ]
    return defined[0] <= defined[1]


def parts_of(model: LanguageModel) -> Parts | None:
    """What `LanguageModel.split` returns; None too where that does not fit the model's `forward`."""
    return model.split() if fits_forward(model, "split") else None


@contextmanager
def evaluating(model: LanguageModel) -> Generator[None]:
    """A block in which the model is in evaluation mode; afterwards it is in the mode in which it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
