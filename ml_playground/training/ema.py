"""An exponential moving average of the weights."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor

from ml_playground.models.base import LanguageModel


class EMA:
    """Averages a model's trainable weights over its steps.

    The decay grows from 0.1 towards its final value with the step, min(decay, (1 + step) / (10 + step)), so that the
    random initial weights are soon forgotten.
    """

    def __init__(self, model: LanguageModel, decay: float) -> None:
        self._decay = decay
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._weights = [parameter.detach() for parameter in trained]
        self._average = [weight.clone() for weight in self._weights]
        place = {parameter: index for index, parameter in enumerate(trained)}
        # Tied parameters have several names and one average.
        named = dict(model.named_parameters(remove_duplicate=False))
        self._places = {name: place[named[name]] for name in model.trainable_state_dict() if name in named}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after optimiser step `step`, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for average, weight in zip(self._average, self._weights, strict=True):
            average.lerp_(weight, 1 - decay)

    @contextmanager
    def swapped_in(self) -> Generator[None]:
        """Within the block the model has the averaged weights; afterwards it has its own again, bit for bit."""
        own = [weight.clone() for weight in self._weights]
        _copy(self._average, self._weights)
        try:
            yield
        finally:
            _copy(own, self._weights)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages under every name that their parameters have."""
        return {name: self._average[place] for name, place in self._places.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what `state_dict` returned."""
        _copy([state[name] for name in self._places], [self._average[place] for place in self._places.values()])


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
