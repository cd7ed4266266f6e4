"""Muon for the matrices of the blocks, AdamW for everything else."""

from typing import TYPE_CHECKING

from pydantic import Field

from ml_playground.config.sections import ParameterGroup
from ml_playground.training.optimizers.adam import AdamOptions

if TYPE_CHECKING:
    import torch


class MuonOptions(AdamOptions):
    """Muon (Jordan et al. 2024): matrices between embeddings and head are updated by orthogonalised gradients."""

    muon_learning_rate: float = Field(0.02, ge=1e-30, le=1e30, description="peak learning rate of what Muon updates")
    momentum: float = Field(0.9, ge=0, lt=1, description="decay of the gradient's running mean in Muon")

    @property
    def hidden_learning_rate(self) -> float:
        """See `OptimConfig`."""
        return self.muon_learning_rate

    def build(self, groups: list[ParameterGroup]) -> "torch.optim.Optimizer":
        """See `OptimConfig`."""
        from ml_playground.training.muon import Muon

        marked = [
            {**group, "muon": True, "momentum": self.momentum} if group["hidden"] else {**group, "muon": False}
            for group in groups
        ]
        return Muon(marked, betas=(self.beta1, self.beta2), fused=True)
