"""Attention weights, against those computed in another way."""

import gc
from typing import Any, cast
from weakref import ReferenceType, ref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import Lfm2Config, Lfm2ForCausalLM

from ml_playground.analysis.attention import attention_layers, attention_weights
from ml_playground.analysis.scores import Floats
from ml_playground.analysis.states import layer_readings
from ml_playground.errors import AnalysisError
from ml_playground.finetune.model import FineTuned
from ml_playground.models.attention import CausalSelfAttention
from ml_playground.models.base import LanguageModel
from ml_playground.models.position import Position
from ml_playground.models.transformer import Transformer
from ml_playground.runtime import Runtime, resolve
from tests.unit.analysis.models import (
    ALL,
    BLOCK_SIZE,
    BUILT_IN,
    RUNTIME,
    VOCAB,
    Bigram,
    Manual,
    ManualBlock,
    base_of,
    model_of,
    passage,
)

RUNTIMES = [RUNTIME, resolve("cpu", "bfloat16"), resolve("cpu", "float16")]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("length", [1, 12, BLOCK_SIZE])
def test_rows_sum_to_1_and_see_nothing_later_and_the_model_stays_as_it_was(name: str, length: int) -> None:
    model, ids = model_of(name), passage(length)
    row = torch.tensor([ids])
    with torch.no_grad():
        before = model.eval()(row)
        model.train()
        weights = attention_weights(model, ids, RUNTIME)
        assert model.training
        assert torch.equal(model.eval()(row), before)
    layers = 1 if name == "waves" else 3 if name == "manual" else 2
    assert weights.shape == (layers, 2 if name == "manual" else 4, length, length)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert not np.triu(weights, k=1).any()


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda each: str(each.dtype))
def test_they_are_the_softmax_of_queries_and_keys(name: str, runtime: Runtime) -> None:
    """One pair of positions after the other, from the inputs of each layer: the sums are float32 in any format."""
    model, ids = cast("Transformer", model_of(name)), passage()
    found = attention_weights(model, ids, runtime)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-5)
    layers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    inputs: list[Tensor] = []
    hooks = [each.register_forward_pre_hook(lambda _, args: inputs.append(args[0])) for each in layers]
    with torch.no_grad():
        with runtime.autocast():
            model.eval()(torch.tensor([ids]))
        for index, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
            position, window = cast("Position", model.transformer["wpe"]), model.config.sliding_window
            expected = by_hand(layer, x, position, window, runtime)
            np.testing.assert_allclose(found[index], expected, atol=1e-5)
    for hook in hooks:
        hook.remove()


def by_hand(layer: CausalSelfAttention, x: Tensor, position: Position, window: int, runtime: Runtime) -> Tensor:
    H, G, D, T = layer.n_head, layer.n_kv_head, layer.head_dim, x.shape[1]
    with runtime.autocast():
        projected = layer.c_attn(x)[0]  # (T, (H + 2 G) * D)
    bias = position.bias(T, T)
    if bias is not None:
        bias = bias.to(runtime.dtype)
    weights = torch.zeros(H, T, T)
    for head in range(H):
        group = H + head // (H // G)
        with runtime.autocast():
            q, k = (layer_norm(projected[:, at * D : (at + 1) * D]) for layer_norm, at in
                    ((layer.q_norm, head), (layer.k_norm, group)))  # fmt: skip
            q, k = (position.rotate(each[None, None], 0)[0, 0] for each in (q, k))
        q, k = (each.to(runtime.dtype).float() for each in (q, k))
        for query in range(T):
            first = max(0, query - window + 1) if window else 0
            scores = [float(q[query] @ k[key]) / D**0.5 for key in range(first, query + 1)]
            if bias is not None:
                scores = [score + float(bias[head, query, first + at]) for at, score in enumerate(scores)]
            weights[head, query, first : query + 1] = torch.tensor(scores).softmax(dim=0)
    return weights


def test_products_beyond_float16_are_no_loss() -> None:
    model, ids = cast("Transformer", model_of("gpt2")), passage()
    for layer in model.modules():
        if isinstance(layer, CausalSelfAttention):
            layer.c_attn.weight.data.mul_(200)  # queries times keys: far beyond its largest number, 65504
    weights = attention_weights(model, ids, resolve("cpu", "float16"))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("hf-")])
def test_they_are_what_transformers_reports(name: str) -> None:
    model, ids = model_of(name), passage()
    found = attention_weights(model, ids, RUNTIME)
    base_of(model).set_attn_implementation("eager")
    with torch.no_grad():
        network = cast("FineTuned", model.eval()).network
        reported = network(input_ids=torch.tensor([ids]), output_attentions=True).attentions
    for layer, expected in zip(found, reported, strict=True):
        np.testing.assert_allclose(layer, expected[0], atol=1e-5)
    # They are read off whichever implementation computes them.
    np.testing.assert_allclose(attention_weights(model, ids, RUNTIME), found, atol=1e-5)


def test_weights_that_a_users_model_computes_by_hand_are_read_off() -> None:
    model, ids = Manual(), passage()
    with torch.no_grad():
        x = model.wte(torch.tensor(ids))[None] + model.wpe(torch.arange(len(ids)))
        _, weights = next(model.blocks.children())(x)
    np.testing.assert_allclose(attention_weights(model, ids, RUNTIME)[0], weights[0], atol=1e-6)


class Summed(Manual):
    """A user's model whose attention is outside of the one list of modules that could be its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ManualBlock(2), ManualBlock(2)
        self.blocks = nn.ModuleList([nn.Linear(24, 24), nn.Linear(24, 24)])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        x = self.second(self.first(x)[0])[0]
        for block in self.blocks.children():
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


def hybrid() -> LanguageModel:
    """A network in which the third block alone has attention."""
    torch.manual_seed(0)
    kinds = ["conv", "conv", "full_attention", "conv"]
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    config = Lfm2Config(
        vocab_size=VOCAB, num_hidden_layers=len(kinds), num_key_value_heads=2, layer_types=kinds, **sizes
    )
    return FineTuned(Lfm2ForCausalLM(config), block_size=BLOCK_SIZE)


@pytest.mark.parametrize("length", [1, 12])
def test_layers_are_numbered_as_blocks_are(length: int) -> None:
    """As they are where the residual stream is read layer by layer."""
    for model, numbers in ((hybrid(), [3]), (model_of("gpt2"), [1, 2]), (model_of("hf-llama-lora"), [1, 2])):
        ids = passage(length)
        assert [number for number, _ in attention_layers(model, ids, RUNTIME, len)] == numbers
    assert len(layer_readings(hybrid(), passage(), RUNTIME, 1).nats) == 1 + 4


def test_attention_outside_of_blocks_is_numbered_by_itself() -> None:
    model = Summed()
    assert [number for number, _ in attention_layers(model, passage(), RUNTIME, len)] == [1, 2]


def test_only_what_is_made_of_a_layer_is_kept() -> None:
    """The weights of all layers together would take most of the memory that a long passage needs."""
    seen: list[ReferenceType[object]] = []
    alive: list[int] = []  # tensors of that shape, whoever holds them

    def reduce(weights: Floats) -> float:
        assert all(each() is None for each in seen)  # those of the layer before are freed
        seen.append(ref(weights))
        tensors = [each for each in gc.get_objects() if type(each) is Tensor]
        alive.append(sum(each.shape[-3:] == weights.shape for each in tensors))
        return float(weights.sum())

    for name in ("gpt2", "manual", "hf-qwen3"):
        model, ids = model_of(name), passage()
        seen.clear()
        alive.clear()
        found = attention_layers(model, ids, RUNTIME, reduce)
        assert len(set(alive[1:])) == 1  # a model itself may hold those of one layer before
        heads = attention_weights(model, ids, RUNTIME).shape[1]
        assert [value for _, value in found] == pytest.approx([heads * len(ids)] * len(found))


def test_a_model_that_shows_none_is_refused() -> None:
    with pytest.raises(AnalysisError, match="cannot be read"):
        attention_weights(Bigram(), passage(), RUNTIME)


def test_layers_of_different_heads_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"\[2, 2, 4\] heads"):
        attention_weights(Manual((2, 2, 4)), passage(), RUNTIME)


@pytest.mark.parametrize("length", [0, BLOCK_SIZE + 1])
def test_a_passage_must_fit(length: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 16"):
        attention_weights(model_of("gpt2"), passage(length), RUNTIME)
