"""An optimiser that moves by the sign of a running mean."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ml_playground.config.sections import OptimConfig, ParameterGroup


class SignOptions(OptimConfig):
    """The sign of the gradient's running mean (Bernstein et al. 2018, "signSGD")."""

    pull: float = Field(0.5, ge=0, lt=1, description="decay of the running mean")

    def build(self, groups: list[ParameterGroup]) -> torch.optim.Optimizer:
        """See `OptimConfig`."""
        return Sign(groups, {"pull": self.pull})


class Sign(torch.optim.Optimizer):
    """Moves each weight by the learning rate, against the sign of its mean gradient."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 -- as in torch
        """One step."""
        for group in self.param_groups:
            for weight in group["params"]:
                mean: Tensor = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["pull"])
                weight.add_(mean.sign(), alpha=-group["lr"])
