"""Scores of single tokens."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ml_playground.analysis import scores as module
from ml_playground.analysis.fit import by_frequency, by_position, calibration, token_counts
from ml_playground.analysis.scores import score, score_ids
from ml_playground.evaluation import Evaluator
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.runtime import resolve

VOCAB = 7
RUNTIME = resolve("cpu", "float32")


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    args: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 8, "dropout": 0.3, "bias": False}
    return build_model(args | {"vocab_size": VOCAB})


def text_of(length: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return np.random.RandomState(1).randint(0, VOCAB, length).astype(np.uint16)


def evaluator_of(length: int, **windows: int) -> Evaluator:
    stated: dict[str, Any] = {"context": 8, **windows}
    return Evaluator(text_of(length), text_bytes=length, vocab_size=VOCAB, **stated)


@pytest.mark.parametrize("length", [2, 8, 9, 10, 17, 100])
@pytest.mark.parametrize("stride", [8, 3])
@pytest.mark.parametrize("at_once", [1, 50, 2**26])
def test_they_add_up_to_the_loss_of_the_evaluation(
    model: LanguageModel, length: int, stride: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOGITS_AT_ONCE", at_once)
    evaluator = evaluator_of(length, stride=stride)
    found, measured = score(model, evaluator, RUNTIME), evaluator(model, RUNTIME)
    assert model.training  # as it was
    assert measured is not None
    assert found.ids.tolist() == text_of(length)[1:].tolist()
    assert found.loss == pytest.approx(measured.loss, rel=1e-6)
    assert found.right.mean() == measured.accuracy
    assert found.top_ids.shape == (length - 1, 0)


def test_ranks_entropies_and_alternatives_are_those_of_the_logits(model: LanguageModel) -> None:
    found = score(model, evaluator_of(9), RUNTIME, top=3)
    ids = torch.from_numpy(text_of(9).astype(np.int64))
    with torch.no_grad():
        logits = model.eval()(ids[None, :-1])[0].double()
    probabilities = F.softmax(logits, dim=-1)
    for at, wanted in enumerate(ids[1:].tolist()):
        order = logits[at].argsort(descending=True).tolist()
        assert found.ranks[at] == order.index(wanted)
        assert found.top_ids[at].tolist() == order[:3]
        np.testing.assert_allclose(found.top_probabilities[at], probabilities[at, order[:3]], rtol=1e-5)
        assert found.entropies[at] == pytest.approx(-sum(p * np.log(p) for p in probabilities[at].tolist()), rel=1e-5)
    np.testing.assert_allclose(found.confidences, probabilities.max(dim=-1).values, rtol=1e-5)
    assert found.positions.tolist() == list(range(8))


def test_positions_count_what_a_prediction_sees(model: LanguageModel) -> None:
    assert score(model, evaluator_of(12), RUNTIME).positions.tolist() == [*range(8), 0, 1, 2]
    overlapping = score(model, evaluator_of(13, stride=3), RUNTIME)
    assert overlapping.positions.tolist() == [*range(8), 5, 6, 7, 7]


def test_bins_hold_every_token_once(model: LanguageModel) -> None:
    found = score(model, evaluator_of(100), RUNTIME)
    positions = by_position(found)
    assert [(each.first, each.last) for each in positions] == [(1, 1), (2, 3), (4, 7), (8, 15)]
    counts = token_counts(np.array([0] * 12 + [1] * 3, dtype=np.uint16), VOCAB)
    assert counts.tolist() == [12, 3, 0, 0, 0, 0, 0]
    frequencies = by_frequency(found, counts)
    assert [(each.first, each.last) for each in frequencies] == [(0, 0), (1, 9), (10, 99)]
    ids = found.ids
    assert [each.tokens for each in frequencies] == [(ids > 1).sum(), (ids == 1).sum(), (ids == 0).sum()]
    for bins in (positions, frequencies):
        assert sum(each.tokens * (each.loss or 0) for each in bins) / 99 == pytest.approx(found.loss, rel=1e-6)


def test_calibration_is_the_weighted_mean_of_the_differences(model: LanguageModel) -> None:
    found = score(model, evaluator_of(100), RUNTIME)
    measured = calibration(found, bins=10)
    assert sum(each.tokens for each in measured.bins) == 99
    expected = sum(each.tokens * abs((each.confidence or 0) - (each.accuracy or 0)) for each in measured.bins) / 99
    assert measured.error == pytest.approx(expected)


@pytest.mark.parametrize("length", [2, 8, 9, 20])
def test_a_passage_is_scored_as_the_evaluation_scores_it(model: LanguageModel, length: int) -> None:
    found, expected = (
        score_ids(model, text_of(length).tolist(), RUNTIME, top=2),
        score(model, evaluator_of(length), RUNTIME, top=2),
    )
    for name in ("ids", "ranks", "positions", "top_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.nats, expected.nats, rtol=1e-6)


def test_a_passage_needs_something_to_predict(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        score_ids(model, [1], RUNTIME)
