import pytest
import torch
from torch import nn

from ml_playground.models import build_model
from ml_playground.training.optim import adamw, restore_moments

ARGS = {"n_layer": 1, "n_head": 1, "n_embd": 4, "block_size": 4, "vocab_size": 5, "dropout": 0.0, "bias": True}


def one_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def test_decay_is_on_matrices_only() -> None:
    optimizer = adamw(build_model(ARGS), learning_rate=1e-3, weight_decay=0.1, beta1=0.9, beta2=0.99)
    decayed, undecayed = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1
    assert {parameter.dim() for parameter in decayed["params"]} == {2}
    assert undecayed["weight_decay"] == 0
    assert {parameter.dim() for parameter in undecayed["params"]} == {1}


def test_every_parameter_is_updated_once() -> None:
    model = build_model(ARGS)
    optimizer = adamw(model, learning_rate=1e-3, weight_decay=0.0, beta1=0.9, beta2=0.99)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    one_step(model, optimizer)
    for name, parameter in model.named_parameters():  # Adam's first step is the learning rate, whatever the gradient
        assert torch.allclose(before[name] - parameter, torch.full_like(parameter, 1e-3), atol=1e-6), name


def test_the_update_is_that_of_the_paper() -> None:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, 2.0)
    optimizer = adamw(linear, learning_rate=0.1, weight_decay=0.5, beta1=0.9, beta2=0.99)
    weight, m, v = 2.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, -3.0, 2.0), start=1):
        linear.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        weight -= 0.1 * 0.5 * weight
        weight -= 0.1 * (m / (1 - 0.9**step)) / ((v / (1 - 0.99**step)) ** 0.5 + 1e-8)
    assert linear.weight.item() == pytest.approx(weight, rel=1e-5)


def test_restoring_keeps_todays_hyperparameters() -> None:
    model = build_model(ARGS)
    old = adamw(model, learning_rate=1e-3, weight_decay=0.1, beta1=0.9, beta2=0.99)
    one_step(model, old)
    new = adamw(model, learning_rate=1e-4, weight_decay=0.3, beta1=0.8, beta2=0.95)
    restore_moments(new, old.state_dict())
    assert [group["weight_decay"] for group in new.param_groups] == [0.3, 0]
    assert new.param_groups[0]["betas"] == (0.8, 0.95)
    for restored, kept in zip(new.state_dict()["state"].values(), old.state_dict()["state"].values(), strict=True):
        assert torch.equal(restored["exp_avg"], kept["exp_avg"])
        assert torch.equal(restored["step"], kept["step"])
