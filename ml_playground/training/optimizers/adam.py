"""Adam and AdamW."""

from typing import TYPE_CHECKING

from pydantic import Field

from ml_playground.config.sections import OptimConfig, ParameterGroup

if TYPE_CHECKING:
    import torch


class AdamOptions(OptimConfig):
    """Adam (Kingma & Ba 2015): weight decay is added to the gradient."""

    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the gradient's running mean")
    beta2: float = Field(0.99, ge=0, lt=1, description="decay of the squared gradient's running mean")

    def build(self, groups: list[ParameterGroup]) -> "torch.optim.Optimizer":
        """See `OptimConfig`."""
        import torch

        from ml_playground.training.optimizers.eager import eager

        return eager(torch.optim.Adam)(groups, betas=(self.beta1, self.beta2), fused=True)


class AdamWOptions(AdamOptions):
    """AdamW: weight decay decoupled from the gradient (Loshchilov & Hutter 2019)."""

    def build(self, groups: list[ParameterGroup]) -> "torch.optim.Optimizer":
        """See `OptimConfig`."""
        import torch

        from ml_playground.training.optimizers.eager import eager

        return eager(torch.optim.AdamW)(groups, betas=(self.beta1, self.beta2), fused=True)
