"""Adagrad."""

from typing import TYPE_CHECKING

from ml_playground.config.sections import OptimConfig, ParameterGroup

if TYPE_CHECKING:
    import torch


class AdagradOptions(OptimConfig):
    """Adagrad (Duchi et al. 2011); weight decay is added to the gradient."""

    def build(self, groups: list[ParameterGroup]) -> "torch.optim.Optimizer":
        """See `OptimConfig`."""
        import torch

        from ml_playground.training.optimizers.eager import eager

        return eager(torch.optim.Adagrad)(groups)
