import pytest
import torch
from torch import nn

from ml_playground.config.registries import OPTIMIZERS
from ml_playground.config.sections import OptimConfig
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.training.muon import orthogonalised
from ml_playground.training.optim import build_optimizer, load_optimizer_state

ARGS = {"n_layer": 1, "n_head": 1, "n_embd": 4, "block_size": 4, "vocab_size": 5, "dropout": 0.0, "bias": True}


KINDS = list(OPTIMIZERS)


def options(kind: str = "adamw", **stated: object) -> OptimConfig:
    found: OptimConfig = OPTIMIZERS.load(kind).model_validate(
        {"learning_rate": 1e-3, "embedding_learning_rate": 1e-3} | stated
    )
    return found


class Single(LanguageModel):
    """A model of one weight, or of one matrix."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.vocab_size = self.block_size = 1
        self.weight = nn.Parameter(torch.full(shape, 2.0))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.weight * ids

    def matrix_parameters(self) -> list[torch.Tensor]:
        return [self.weight]


def one_step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_decay_is_on_matrices_only(kind: str) -> None:
    optimizer = build_optimizer(build_model(ARGS), options(kind=kind, weight_decay=0.1))
    for group in optimizer.param_groups:
        dimensions = {parameter.dim() for parameter in group["params"]}
        assert dimensions == {2} if group["weight_decay"] == 0.1 else dimensions == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_updated_once(kind: str) -> None:
    model = build_model(ARGS | {"ngram_embeddings": 2, "tied_embeddings": False})
    optimizer = build_optimizer(model, options(kind=kind))
    updated = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(updated) == len(set(updated)) == len(list(model.parameters()))
    before = [parameter.clone() for parameter in model.parameters()]
    one_step(model, optimizer)
    assert all((one != other).any() for one, other in zip(before, model.parameters(), strict=True))


def test_the_update_is_that_of_the_paper() -> None:
    model = Single(1, 1)
    optimizer = build_optimizer(model, options(learning_rate=0.1, weight_decay=0.5, beta1=0.9, beta2=0.99))
    weight, m, v = 2.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, -3.0, 2.0), start=1):
        model.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        weight -= 0.1 * 0.5 * weight
        weight -= 0.1 * (m / (1 - 0.9**step)) / ((v / (1 - 0.99**step)) ** 0.5 + 1e-8)
    assert model.weight.item() == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_restoring_keeps_todays_hyperparameters(kind: str) -> None:
    model = build_model(ARGS)
    old = build_optimizer(model, options(kind=kind, weight_decay=0.1))
    one_step(model, old)
    new = build_optimizer(model, options(kind=kind, weight_decay=0.3))
    load_optimizer_state(new, old.state_dict())
    assert {group["weight_decay"] for group in new.param_groups} == {0.3, 0}
    kept = old.state_dict()["state"]
    for key, state in new.state_dict()["state"].items():
        assert all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(kept[key][name]))
            for name, value in state.items()
            if value is not None
        )


@pytest.mark.parametrize("kind", KINDS)
def test_restored_means_go_on_as_if_nothing_had_been(kind: str) -> None:
    model, other = build_model(ARGS), build_model(ARGS)
    other.load_state_dict(model.state_dict())
    optimizer, first = build_optimizer(model, options(kind=kind)), build_optimizer(other, options(kind=kind))
    one_step(model, optimizer)
    one_step(other, first)
    restored = build_optimizer(other, options(kind=kind))
    load_optimizer_state(restored, first.state_dict())
    one_step(model, optimizer, seed=1)
    one_step(other, restored, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_embeddings_can_have_a_rate_of_their_own() -> None:
    model = build_model(ARGS | {"tied_embeddings": False})
    optimizer = build_optimizer(model, options(embedding_learning_rate=1e-2))
    shares = {parameter: group["lr_scale"] for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert shares[parameter] == (10.0 if name.startswith(("transformer.wte", "transformer.wpe")) else 1.0), name


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (3, 5)])
def test_orthogonalising_keeps_directions_and_makes_all_singular_values_near_1(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    along = u.mT @ orthogonalised(matrices) @ v.mT
    singular = along.diagonal(dim1=-2, dim2=-1)
    assert (singular > 0.6).all()
    assert (singular < 1.3).all()
    torch.testing.assert_close(along, torch.diag_embed(singular), atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_muon_moves_a_matrix_along_its_orthogonalised_mean_gradient(shape: tuple[int, int]) -> None:
    model = Single(*shape)
    optimizer = build_optimizer(model, options(kind="muon", muon_learning_rate=0.1, momentum=0.9, weight_decay=0.5))
    expected, mean = model.weight.detach().clone(), torch.zeros(shape)
    for seed in (1, 2):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        mean = 0.9 * mean + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * mean
        direction = orthogonalised((ahead if shape[0] < shape[1] else ahead.T)[None])[0]
        direction = direction if shape[0] < shape[1] else direction.T * 1.5**0.5
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * direction
        model.weight.grad = gradient
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), expected)
