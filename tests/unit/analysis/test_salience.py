"""Salience, against finite differences and against texts that are shortened by hand."""

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.analysis import salience
from ml_playground.analysis.salience import (
    SALIENCES,
    GradientSalience,
    erasure,
    erasures,
    gradient_salience,
    has_other_tables,
)
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
from ml_playground.models.transformer import Transformer
from tests.unit.analysis.models import ALL, BLOCK_SIZE, RUNTIME, VOCAB, Bigram, Manual, model_of, passage

TARGETS = (7, 4, 4, 0)


def nats(model: LanguageModel, ids: list[int]) -> list[float]:
    """The loss of each token; 0 of the first."""
    with torch.no_grad():
        logs = F.log_softmax(model(torch.tensor([ids[:-1]]))[0].double(), dim=-1)
    return [0.0, *(-float(logs[at - 1, ids[at]]) for at in range(1, len(ids)))]


class Moved:
    """A block in which the embeddings of a model are moved."""

    def __init__(self, model: LanguageModel) -> None:
        embedding = model.token_embedding()
        assert embedding is not None
        self.module = embedding
        self.by = torch.zeros(())

    def __enter__(self) -> "Moved":
        self.hook = self.module.register_forward_hook(self.move)
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.remove()

    def move(self, _: nn.Module, __: object, output: Tensor) -> Tensor:
        return output + self.by


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    model, ids = model_of(name).double(), passage()
    # The RMS norms of Transformers compute in float32 whatever the model does.
    step, error = (1e-6, 1e-4) if not name.startswith("hf-") or "gpt2" in name else (5e-4, 2e-2)
    found = gradient_salience(model, ids, TARGETS, RUNTIME)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad(), Moved(model.eval()) as moved:
        vectors: Tensor = moved.module(torch.tensor(ids))  # (T, C)
        T, C = vectors.shape
        gradient = torch.zeros_like(vectors)
        for at in range(8):
            moved.by = torch.zeros(2 * C, T - 1, C, dtype=torch.float64)
            moved.by[:, at] = torch.cat((step * torch.eye(C), -step * torch.eye(C)))
            logs = F.log_softmax(model(torch.tensor([ids[:-1]]).expand(2 * C, -1)), dim=-1)  # (2 C, T - 1, V)
            losses = -logs[:, 6, ids[7]] - logs[:, 3, ids[4]]
            gradient[at] = (losses[:C] - losses[C:]) / (2 * step)
    np.testing.assert_allclose(found.l2, gradient.square().sum(dim=1).sqrt(), rtol=error, atol=error)
    np.testing.assert_allclose(found.dot_input, (gradient * vectors).sum(dim=1), rtol=error, atol=error)
    assert found.l2[:7].all()
    assert not found.l2[7:].any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [1, 4, 16])
def test_erasure_is_what_leaving_a_token_out_costs(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salience, "_ROWS", rows)
    model, ids = model_of(name), passage()
    found, of_each = erasure(model, ids, TARGETS, RUNTIME), erasures(model, ids, RUNTIME, reach=5)
    near = erasure(model, ids, TARGETS, RUNTIME, reach=2)
    assert model.training
    model.eval()
    by_hand, whole = np.zeros((len(ids), len(ids))), nats(model, ids)  # left out, target
    for at in range(len(ids)):
        shortened = nats(model, ids[:at] + ids[at + 1 :])
        for target in range(max(at + 1, 2), len(ids)):
            by_hand[at, target] = shortened[target - 1] - whole[target]
    np.testing.assert_allclose(found, by_hand[:, [7, 4]].sum(axis=1), rtol=1e-3, atol=1e-4)
    near_by_hand = np.zeros(len(ids))
    near_by_hand[[5, 6]] += by_hand[[5, 6], 7]
    near_by_hand[[2, 3]] += by_hand[[2, 3], 4]
    np.testing.assert_allclose(near, near_by_hand, rtol=1e-3, atol=1e-4)
    assert of_each.shape == (len(ids), 5)
    for target in range(len(ids)):
        for back in range(1, 6):
            expected = by_hand[target - back, target] if target >= back else 0
            assert of_each[target, back - 1] == pytest.approx(expected, rel=1e-3, abs=1e-4)


class Changed(Transformer):
    """A built-in model whose user overrides `forward` alone."""

    def forward(self, ids: Tensor) -> Tensor:
        return 2 * super().forward(ids)


def test_a_forward_that_a_user_overrides_is_what_counts() -> None:
    model, ids = cast("Transformer", model_of("llama")), passage()
    changed = Changed(model.config, VOCAB)
    changed.load_state_dict(model.state_dict())
    found, whole = erasure(changed, ids, [7], RUNTIME), nats(changed, ids)
    shortened = [nats(changed, ids[:at] + ids[at + 1 :]) for at in range(7)]
    np.testing.assert_allclose(found[:7], [each[6] - whole[7] for each in shortened], rtol=1e-3, atol=1e-4)
    scaled, plain = (gradient_salience(each.eval(), ids, [7], RUNTIME).l2 for each in (changed, model))
    assert not np.allclose(scaled, plain, rtol=0.1)


def test_a_passage_may_be_one_longer_than_the_context() -> None:
    model, ids = model_of("llama"), passage(BLOCK_SIZE + 1)
    assert gradient_salience(model, ids, [BLOCK_SIZE], RUNTIME).l2.shape == (BLOCK_SIZE + 1,)
    assert np.count_nonzero(erasure(model, ids, [BLOCK_SIZE], RUNTIME)) == BLOCK_SIZE
    with pytest.raises(ValueError, match="expected 1 to 16"):
        erasure(model, passage(BLOCK_SIZE + 2), [3], RUNTIME)


@pytest.mark.parametrize("targets", [[], [0], [1]])
def test_where_nothing_can_be_left_out_it_is_0(targets: list[int]) -> None:
    model = model_of("gpt2")
    assert not erasure(model, passage(), targets, RUNTIME).any()
    assert not erasures(model, passage(2), RUNTIME, reach=3).any()
    found = gradient_salience(model, passage(), targets, RUNTIME)
    assert np.flatnonzero(found.l2).tolist() == ([0] if targets == [1] else [])


@pytest.mark.parametrize("targets", [[12], [-1]])
def test_targets_must_be_in_the_passage(targets: list[int]) -> None:
    for measure in (erasure, gradient_salience):
        with pytest.raises(ValueError, match="expected 0 to 11"):
            measure(model_of("gpt2"), passage(), targets, RUNTIME)


@pytest.mark.parametrize("name", ALL)
def test_other_tables_are_found(name: str) -> None:
    model = model_of(name)
    assert has_other_tables(model) == (name == "modern")
    assert model.training


@pytest.mark.parametrize("options", [{"value_embeddings": True}, {"ngram_embeddings": 2}])
def test_each_other_table_is_found(options: dict[str, object]) -> None:
    from ml_playground.models.build import build_model

    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 4, "vocab_size": 5}
    assert has_other_tables(build_model(sizes | options))


class Unused(Manual):
    """It looks its tokens up without calling the table."""

    def __init__(self) -> None:
        super().__init__()
        self.wpe = nn.Embedding(BLOCK_SIZE, 24)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte.weight[ids]
        for block in self.blocks.children():
            x, _ = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


def test_a_model_without_gradients_at_its_tokens_is_refused() -> None:
    with pytest.raises(AnalysisError, match="Erasure needs no gradients"):
        gradient_salience(Unused(), passage(), [5], RUNTIME)


def test_tables_alone_have_gradients_too() -> None:
    found = gradient_salience(Bigram(), passage(), [5], RUNTIME)
    assert isinstance(found, GradientSalience)
    assert np.flatnonzero(found.l2).tolist() == [4]
    assert SALIENCES.keys() == {"grad_l2", "grad_dot_input", "erasure"}
