"""The kind `gpt2` against nanoGPT's numbers and against what any causal model must do."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.errors import CheckpointError
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model

REFERENCE: list[dict[str, Any]] = json.loads(Path(__file__).with_name("nanogpt_reference.json").read_text())
ARGS = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, "vocab_size": 11, "dropout": 0.0, "bias": True}


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    return build_model(ARGS)


def numbers(name: str, shape: torch.Size) -> Tensor:
    """Values that depend on a name only; RandomState's stream is frozen for good."""
    return torch.tensor(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape), dtype=torch.float32)


@pytest.mark.parametrize("reference", REFERENCE, ids=["without bias", "with bias"])
def test_loss_and_gradients_are_those_of_nanogpt(reference: dict[str, Any]) -> None:
    """The reference was computed once by nanoGPT's own model from the weights and the batch made here.

    Of each gradient it holds the norm and the product with a fixed direction, to which every entry contributes.
    """
    model = build_model(reference["model_args"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            parameter.copy_(0.2 * numbers(name, parameter.shape) + gain)
    ids = torch.tensor(np.random.RandomState(0).randint(0, 65, (4, 17)))
    loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    torch.autograd.backward(loss)

    assert loss.item() == pytest.approx(reference["loss"], abs=1e-5)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert gradients.keys() == reference["gradients"].keys()
    for name, gradient in gradients.items():
        expected = reference["gradients"][name]
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(expected["norm"], abs=1e-5, rel=1e-5), name
        direction = numbers(f"projection of {name}", gradient.shape)
        assert (gradient * direction).sum().item() == pytest.approx(expected["projection"], abs=1e-5, rel=1e-5), name


def test_no_position_sees_what_comes_after_it(model: LanguageModel) -> None:
    embedded: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    model.get_submodule("transformer.drop").register_forward_hook(keep)
    logits = model(torch.randint(0, 11, (1, 12)))
    for position in range(12):
        embedded[0].grad = None
        torch.autograd.backward(logits[0, position].square().sum(), retain_graph=True)
        assert embedded[0].grad is not None
        influence = embedded[0].grad[0].abs().sum(dim=-1)
        assert (influence[: position + 1] > 0).all()
        assert (influence[position + 1 :] == 0).all()


def test_a_prefix_gets_the_logits_that_it_gets_within_the_whole(model: LanguageModel) -> None:
    ids = torch.randint(0, 11, (3, 12))
    whole = model(ids)
    for length in (1, 5, 11):
        torch.testing.assert_close(model(ids[:, :length]), whole[:, :length])


def test_dropout_acts_in_training_only(model: LanguageModel) -> None:
    dropping = build_model(ARGS | {"dropout": 0.5})
    dropping.load_state_dict(model.state_dict())
    ids = torch.randint(0, 11, (2, 12))
    assert torch.equal(dropping.eval()(ids), model.eval()(ids))
    assert not torch.equal(dropping.train()(ids), model(ids))


def test_embedding_and_head_are_one(model: LanguageModel) -> None:
    state = model.state_dict()
    assert state["lm_head.weight"].data_ptr() == state["transformer.wte.weight"].data_ptr()
    width = 16
    per_block = 12 * width**2 + 13 * width
    assert model.num_parameters() == 11 * width + 12 * width + 2 * per_block + 2 * width


def test_without_bias_there_is_none() -> None:
    assert not [name for name in build_model(ARGS | {"bias": False}).state_dict() if name.endswith("bias")]


def test_initial_predictions_are_close_to_uniform(model: LanguageModel) -> None:
    ids = torch.randint(0, 11, (8, 12))
    loss = F.cross_entropy(model(ids).flatten(0, 1), torch.randint(0, 11, (8 * 12,)))
    assert loss.item() == pytest.approx(np.log(11), abs=0.15)


@pytest.mark.parametrize("bad", [{"n_head": 3}, {"unknown": 1}])
def test_arguments_of_no_model_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(CheckpointError, match="no model can be built from the arguments"):
        build_model(ARGS | bad)
