"""What all analyses of a passage share."""

import warnings

import numpy as np
import pytest
import torch

from ml_playground.analysis.attention import attention_weights
from ml_playground.analysis.passage import evaluating, row_of
from ml_playground.analysis.salience import erasure, gradient_salience
from ml_playground.analysis.states import layer_readings, pooled_states
from ml_playground.runtime import Runtime, resolve
from tests.unit.analysis.models import RUNTIME, model_of, passage


def test_the_mode_is_kept_whatever_happens() -> None:
    model = model_of("gpt2")
    for training in (True, False):
        model.train(training)
        with pytest.raises(KeyError), evaluating(model):
            assert not model.training
            raise KeyError
        assert model.training == training


def test_a_row_has_the_ids_of_any_sequence() -> None:
    model, ids = model_of("gpt2"), passage()
    for each in (ids, tuple(ids)):
        assert torch.equal(row_of(each, model, RUNTIME), torch.tensor([ids]))


@pytest.mark.parametrize("name", ["modern", "hf-gpt2-lora"])
def test_in_bfloat16_all_is_about_the_same(name: str) -> None:
    model, ids = model_of(name), passage()

    def measured(runtime: Runtime) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        gradient = gradient_salience(model, ids, [7], runtime)
        readings = layer_readings(model, ids, runtime, top=1)
        weights, states = attention_weights(model, ids, runtime), pooled_states(model, [ids], runtime)
        return [gradient.l2, gradient.dot_input, erasure(model, ids, [7], runtime), readings.nats, weights, states]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")  # torch's, of norms
        for exact, rounded in zip(measured(RUNTIME), measured(resolve("cpu", "bfloat16")), strict=True):
            assert not np.array_equal(exact, rounded)
            assert np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()
