import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ml_playground import evaluation
from ml_playground.errors import DataError
from ml_playground.evaluation import Evaluation, Evaluator
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.run.windows import predictions
from ml_playground.runtime import Runtime, resolve

VOCAB = 7
BYTES = 300  # of the whole text, whatever its tokens are


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    args: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 8, "dropout": 0.3, "bias": False}
    return build_model(args | {"vocab_size": VOCAB})


@pytest.fixture
def runtime() -> Runtime:
    return resolve("cpu", "float32")


def text(length: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.RandomState(1).randint(0, VOCAB, length).astype(np.uint16)


def measure(model: LanguageModel, runtime: Runtime, length: int, *, max_tokens: int = 0, stride: int = 8) -> Evaluation:
    result = evaluator(length, max_tokens=max_tokens, stride=stride)(model, runtime)
    assert result is not None
    return result


def evaluator(length: int, *, max_tokens: int = 0, stride: int = 8) -> Evaluator:
    return Evaluator(text(length), text_bytes=BYTES, vocab_size=VOCAB, context=8, stride=stride, max_tokens=max_tokens)


@pytest.mark.parametrize("length", [2, 8, 9, 10, 17, 100])
def test_every_token_but_the_first_is_predicted_exactly_once(
    model: LanguageModel, runtime: Runtime, length: int
) -> None:
    ids = torch.as_tensor(text(length).astype(np.int64))
    nats = 0.0
    model.eval()
    for start in range(0, length - 1, 8):
        window = ids[start : start + 9]
        nats += F.cross_entropy(model(window[None, :-1])[0], window[1:], reduction="sum").item()
    result = measure(model, runtime, length)
    assert result.tokens == length - 1
    assert result.loss == pytest.approx(nats / (length - 1), rel=1e-6)
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / BYTES, rel=1e-6)


@pytest.mark.parametrize(("length", "most"), [(1000, 100), (1000, 96), (1000, 5), (101, 100), (101, 97), (50, 100)])
def test_windows_can_be_spread_evenly_over_a_text(length: int, most: int) -> None:
    places = np.arange(length, dtype=np.uint16)
    spread = Evaluator(places, text_bytes=BYTES, vocab_size=VOCAB, context=8, max_tokens=most, spread=True)
    rows = list(spread.batches())
    inputs = [each for some in rows for each in some.inputs.tolist()]
    targets = [each for some in rows for each in some.targets.tolist()]
    assert [len(each) for each in inputs] == [8] * (spread.predictions // 8) + [spread.predictions % 8] * (
        spread.predictions % 8 > 0
    )
    assert all(after == [place + 1 for place in before] for before, after in zip(inputs, targets, strict=True))
    assert spread.predictions == min(most, length - 1) == len({place for each in targets for place in each})
    steps = {one[0] - other[0] for other, one in pairwise(inputs)}
    assert len(steps) <= 1
    if steps:  # less than a token a window is left at the end
        assert 0 <= length - 1 - targets[-1][-1] < len(inputs)


def test_validation_is_exact_whatever_is_computed_at_once(
    model: LanguageModel, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(model, runtime, 1000)
    monkeypatch.setattr(evaluation, "_TOKENS_AT_ONCE", 3 * 8)
    assert measure(model, runtime, 1000).loss == pytest.approx(whole.loss, rel=1e-7)


def test_the_same_model_gets_the_same_number_and_stays_as_it_was(model: LanguageModel, runtime: Runtime) -> None:
    model.train()
    before = torch.get_rng_state()
    assert measure(model, runtime, 100) == measure(model, runtime, 100)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    model.eval()
    measure(model, runtime, 100)
    assert not model.training


def test_a_cap_takes_the_first_tokens(model: LanguageModel, runtime: Runtime) -> None:
    few, alone = measure(model, runtime, 100, max_tokens=24), measure(model, runtime, 25)
    assert (few.loss, few.tokens) == (alone.loss, 24)
    assert few.bits_per_byte == pytest.approx(few.loss * 99 / math.log(2) / BYTES)  # as if all were like these
    assert measure(model, runtime, 100, max_tokens=8000) == measure(model, runtime, 100)


def test_it_can_be_stopped_between_batches(
    model: LanguageModel, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_TOKENS_AT_ONCE", 1)
    answers = iter([False, False, True])
    assert evaluator(100)(model, runtime, stop=lambda: next(answers)) is None
    assert next(answers, "none left") == "none left"


def test_one_token_is_too_few() -> None:
    with pytest.raises(DataError, match="validation text has 1 tokens"):
        evaluator(1)


@pytest.mark.parametrize("length", [2, 9, 100])
def test_accuracy_is_the_share_of_tokens_whose_likeliest_prediction_is_right(
    model: LanguageModel, runtime: Runtime, length: int
) -> None:
    ids = torch.as_tensor(text(length).astype(np.int64))
    model.eval()
    right = 0
    for start in range(0, length - 1, 8):
        window = ids[start : start + 9]
        right += int((model(window[None, :-1])[0].argmax(dim=1) == window[1:]).sum())
    assert measure(model, runtime, length).accuracy == right / (length - 1)


@pytest.mark.parametrize("length", [2, 8, 9, 10, 17, 100])
@pytest.mark.parametrize("stride", [8, 5, 1])
def test_windows_sum_to_the_loss(
    model: LanguageModel, runtime: Runtime, length: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_TOKENS_AT_ONCE", 3 * 8)
    result = measure(model, runtime, length, stride=stride)
    counts = predictions(length - 1, context=8, stride=stride)
    assert result.windows.shape == counts.shape
    assert result.windows.dtype == np.float64
    assert counts.sum() == result.tokens == length - 1
    assert result.windows.sum() / result.tokens == pytest.approx(result.loss, rel=1e-12)


@pytest.mark.parametrize("length", [2, 7, 8, 9, 10, 13, 14, 17, 18, 100])
@pytest.mark.parametrize("stride", [1, 3, 5, 7])
@pytest.mark.parametrize("at_once", [8, 3 * 8, 2**13])
def test_overlapping_windows_predict_every_token_once_with_enough_before_it(
    model: LanguageModel, runtime: Runtime, length: int, stride: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against each token by itself, after as many tokens as its window has before it."""
    monkeypatch.setattr(evaluation, "_TOKENS_AT_ONCE", at_once)
    ids = torch.as_tensor(text(length).astype(np.int64))
    model.eval()
    losses, right = [], 0
    end = min(8, length - 1)  # of the window that predicts the token
    for place in range(1, length):
        if place > end:
            end = min(end + stride, length - 1)
        before = max(0, end - 8)
        assert place <= 8 or place - before > 8 - stride
        logits = model(ids[None, before:place])[0, -1]
        losses.append(F.cross_entropy(logits, ids[place]).item())
        right += int(logits.argmax() == ids[place])
    result = measure(model, runtime, length, stride=stride)
    assert result.loss == pytest.approx(sum(losses) / (length - 1), rel=1e-6)
    assert result.accuracy == right / (length - 1)
    ends = np.cumsum(predictions(length - 1, context=8, stride=stride))
    sums = [sum(losses[start:end]) for start, end in pairwise([0, *ends])]
    assert result.windows == pytest.approx(sums, rel=1e-5)
