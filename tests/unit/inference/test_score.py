"""Losses of single tokens."""

from typing import Any

import numpy as np
import pytest
import torch

from ml_playground.evaluation import Evaluator
from ml_playground.inference import score
from ml_playground.inference.score import token_losses
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.runtime import resolve

VOCAB = 7


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    args: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 8, "dropout": 0.3, "bias": False}
    return build_model(args | {"vocab_size": VOCAB})


@pytest.mark.parametrize("length", [2, 8, 9, 10, 17, 100])
@pytest.mark.parametrize("at_once", [1, 2**26])
def test_their_mean_is_the_loss_of_the_validation(
    model: LanguageModel, length: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "_LOGITS_AT_ONCE", at_once)
    text = np.random.RandomState(1).randint(0, VOCAB, length).astype(np.uint16)
    losses = token_losses(model, torch.from_numpy(text.astype(np.int64)))
    assert losses.shape == (length - 1,)
    assert model.training  # as it was
    evaluator = Evaluator(text, text_bytes=length, vocab_size=VOCAB, context=8)
    measured = evaluator(model, resolve("cpu", "float32"))
    assert measured is not None
    assert float(losses.double().sum()) == pytest.approx(measured.loss * measured.tokens, rel=1e-6)


def test_there_must_be_something_to_predict(model: LanguageModel) -> None:
    for shape in ((1,), (0,), (2, 2)):
        with pytest.raises(ValueError, match="at least 2"):
            token_losses(model, torch.zeros(shape, dtype=torch.int64))
