import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.models.linear import Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 5, 8), (3, 8), (16, 64, 8)])
def test_product_and_gradients_are_those_of_torch(shape: tuple[int, ...], *, bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = Linear(8, 24, bias=bias), torch.randn(shape, requires_grad=True)
    upstream = torch.randn(*shape[:-1], 24)
    parameters = [x, *linear.parameters()]
    ours = torch.autograd.grad(linear(x), parameters, upstream)
    theirs = torch.autograd.grad(F.linear(x, linear.weight, linear.bias), parameters, upstream)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-5)  # sums over up to 1,024 rows
    with torch.no_grad():
        torch.testing.assert_close(linear(x), F.linear(x, linear.weight, linear.bias))


def test_a_frozen_layer_and_a_frozen_input_get_no_gradient() -> None:
    linear, x = Linear(4, 3), torch.randn(2, 4, requires_grad=True)
    linear.requires_grad_(requires_grad=False)
    torch.autograd.backward(linear(x).sum())
    assert x.grad is not None
    assert linear.weight.grad is None
    linear.requires_grad_(requires_grad=True)
    torch.autograd.backward(linear(x.detach()).sum())
    assert linear.weight.grad is not None


def test_other_number_formats_are_computed_in_theirs() -> None:
    linear, x = Linear(4, 3), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x).dtype == torch.bfloat16
    wide: Tensor = linear.double()(x.double())
    assert wide.dtype == torch.float64
