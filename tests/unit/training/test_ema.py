import pytest
import torch

from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.training.ema import EMA

ARGS = {"n_layer": 1, "n_head": 1, "n_embd": 4, "block_size": 4, "vocab_size": 5, "dropout": 0.0, "bias": False}


def fill(model: LanguageModel, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


@pytest.fixture
def model() -> LanguageModel:
    model = build_model(ARGS)
    fill(model, 1.0)
    return model


def test_the_average_follows_its_formula(model: LanguageModel) -> None:
    average, expected = EMA(model, decay=0.5), 1.0
    for step, value in enumerate((2.0, 5.0, -1.0, 7.0) * 5):
        fill(model, value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    for values in average.state_dict().values():
        assert torch.allclose(values, torch.full_like(values, expected))


def test_the_average_is_there_within_the_block_only(model: LanguageModel) -> None:
    average = EMA(model, decay=0.9)
    fill(model, 3.0)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with average.swapped_in():
        assert {values.mean().item() for values in model.state_dict().values()} == {1.0}
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


def test_its_state_fits_the_model_and_comes_back(model: LanguageModel) -> None:
    average = EMA(model, decay=0.9)
    fill(model, 3.0)
    average.update(0)
    assert average.state_dict().keys() == model.state_dict().keys()
    again = EMA(model, decay=0.9)
    again.load_state_dict(average.state_dict())
    other = build_model(ARGS)
    other.load_state_dict(again.state_dict())
    assert {round(values.mean().item(), 4) for values in other.state_dict().values()} == {2.8}
