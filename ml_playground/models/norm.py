"""Normalisation layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.config.sections import ModelConfig


class LayerNorm(nn.Module):
    """Zero mean and unit deviation, then a gain and (if wanted) a bias (Ba et al. 2016)."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension of `x`."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Unit root mean square, then a gain; there is no bias (Zhang & Sennrich 2019)."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension of `x`."""
        # Under autocast queries and keys are bfloat16; the fused kernel needs one format for input and weight.
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
