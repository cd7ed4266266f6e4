"""Matrix products by the faster of the two libraries that PyTorch has for them on a CPU."""

import platform
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# In float32 PyTorch always asks MKL, which is half as fast as oneDNN on AMD's processors (docs/LOG.md). There is no
# public way to choose; this is the operator that torch.compile chooses.
_HAS_ONEDNN = platform.machine() in ("x86_64", "AMD64") and bool(
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch does not type it
)


class Linear(nn.Linear):
    """`torch.nn.Linear`, but faster on a CPU in float32."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- torch's name
        """(..., in_features) to (..., out_features)."""
        if not _suits_onednn(input, self.weight):
            return F.linear(input, self.weight, self.bias)
        if torch.is_grad_enabled():
            # torch types neither the function nor what it returns.
            product: Any = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return cast("Tensor", product)
        return _product(input, self.weight, self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (of_output,) = gradients
        for_x, for_weight, for_bias = ctx.needs_input_grad
        rows = of_output.flatten(0, -2)  # (N, out_features)
        of_x = _product(of_output, weight.T, None) if for_x else None
        of_weight = _product(rows.T, x.flatten(0, -2).T, None) if for_weight else None
        return of_x, of_weight, rows.sum(dim=0) if for_bias else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        _HAS_ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
