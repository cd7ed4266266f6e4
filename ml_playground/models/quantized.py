"""8-bit weights, for sampling on a CPU, where most of the time goes into reading weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.models.base import LanguageModel

_MULTIPLE = 16  # inputs: the kernel processes this many at a time and would read out of bounds otherwise
_FEW_ROWS = 16  # with more rows, products in bfloat16 are faster than the kernel


class Int8Linear(nn.Module):
    """A linear layer with 8-bit integer weights and a scale for each output (Dettmers et al. 2022, 2.1).

    Inputs and outputs are in bfloat16.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()  # (out_features,)
        rounded = (weight / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.register_buffer("scales", scales)
        self.register_buffer("weight", rounded)
        self.scales: Tensor
        self.weight: Tensor  # (out_features, in_features)
        self.bias: Tensor | None = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= _FEW_ROWS:
            out = torch.ops.aten._weight_int8pack_mm(rows, self.weight, self.scales)
        else:
            out = F.linear(rows, self.weight.to(x.dtype)) * self.scales
        shaped: Tensor = out.view(*x.shape[:-1], -1)
        return shaped if self.bias is None else shaped + self.bias.to(x.dtype)


def quantize(model: LanguageModel) -> None:
    """Replace the linear layers of `model` by `Int8Linear`, unless their inputs are not a multiple of 16."""
    model.finalize()
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and child.in_features % _MULTIPLE == 0:
                setattr(module, name, Int8Linear(child))
