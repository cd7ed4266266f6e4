"""Stochastic gradient descent."""

from typing import TYPE_CHECKING

from pydantic import Field

from ml_playground.config.sections import OptimConfig, ParameterGroup

if TYPE_CHECKING:
    import torch


class SGDOptions(OptimConfig):
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013); weight decay is added to the gradient."""

    momentum: float = Field(0.9, ge=0, lt=1, description="decay of the gradient's running sum; 0 for no momentum")

    def build(self, groups: list[ParameterGroup]) -> "torch.optim.Optimizer":
        """See `OptimConfig`."""
        import torch

        from ml_playground.training.optimizers.eager import eager

        return eager(torch.optim.SGD)(groups, momentum=self.momentum, nesterov=self.momentum > 0)
