"""RMSprop."""

from typing import TYPE_CHECKING

from pydantic import Field

from ml_playground.config.sections import OptimConfig, ParameterGroup

if TYPE_CHECKING:
    import torch


class RMSpropOptions(OptimConfig):
    """RMSprop (Tieleman & Hinton 2012); weight decay is added to the gradient."""

    beta2: float = Field(0.99, ge=0, lt=1, description="decay of the squared gradient's running mean")
    momentum: float = Field(0.9, ge=0, lt=1, description="decay of the running sum of updates; 0 for no momentum")

    def build(self, groups: list[ParameterGroup]) -> "torch.optim.Optimizer":
        """See `OptimConfig`."""
        import torch

        from ml_playground.training.optimizers.eager import eager

        return eager(torch.optim.RMSprop)(groups, alpha=self.beta2, momentum=self.momentum)
