"""torch's optimisers compute the same bits without torch's compiler."""

import pytest
import torch
from torch.optim import Optimizer

from ml_playground.config.registries import OPTIMIZERS
from ml_playground.training.optimizers.eager import Eager, eager

METHODS = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")


def trained(kind: str) -> tuple[list[torch.Tensor], Optimizer]:
    """Weights after some steps, half of them by an optimiser that was given the state of the first, and that one."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(8, 4)), torch.nn.Parameter(torch.randn(4))]
    options = OPTIMIZERS.load(kind).model_validate({"embedding_learning_rate": 0.1})
    hidden, rest = (
        {"params": [weight], "lr": 0.01, "lr_scale": 1.0, "weight_decay": decay, "hidden": decay > 0}
        for weight, decay in zip(weights, (0.1, 0.0), strict=True)
    )
    first: Optimizer = options.build([{**hidden}, {**rest}])
    second: Optimizer = options.build([{**hidden}, {**rest}])
    for optimizer in (first, second):
        if optimizer is second:
            second.load_state_dict(first.state_dict())
        for _ in range(3):
            loss = (weights[0].sum(dim=0) - weights[1]).square().sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimizer.step()
            optimizer.zero_grad()
    return [weight.detach() for weight in weights], second


@pytest.mark.parametrize("kind", OPTIMIZERS.built_in)
def test_the_bits_are_those_of_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, optimizer = trained(kind)
    assert isinstance(optimizer, Eager)
    for method in METHODS:
        monkeypatch.delattr(Eager, method)
    theirs, optimizer = trained(kind)
    assert all(getattr(type(optimizer), name) is getattr(Optimizer, name) for name in METHODS if name != "step")
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


def test_torch_is_left_as_it_is() -> None:
    own = eager(torch.optim.SGD)
    assert issubclass(own, torch.optim.SGD)
    for method in METHODS[:3]:
        assert getattr(own, method) is getattr(Optimizer, method).__wrapped__
        assert getattr(torch.optim.SGD, method) is getattr(Optimizer, method)
