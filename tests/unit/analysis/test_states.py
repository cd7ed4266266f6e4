"""Hidden states, against the model's own."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.analysis.scores import score_ids
from ml_playground.analysis.states import layer_readings, pooled_states, token_table
from ml_playground.errors import AnalysisError
from ml_playground.finetune.model import FineTuned
from ml_playground.models.base import LanguageModel
from ml_playground.models.transformer import Transformer
from tests.unit.analysis.models import ALL, BLOCK_SIZE, RUNTIME, VOCAB, Bigram, Manual, base_of, model_of, passage


def parts(name: str, model: LanguageModel) -> tuple[list[nn.Module], nn.Module]:
    """The blocks and the final norm, by their names."""
    if isinstance(model, FineTuned):
        body = base_of(model).base_model
        named = ("h", "ln_f") if "gpt2" in name else ("layers", "norm")
        blocks, norm = (body.get_submodule(each) for each in named)
    elif isinstance(model, Transformer):
        blocks, norm = model.transformer["h"], model.transformer["ln_f"]
    else:
        blocks, norm = model.get_submodule("blocks"), model.get_submodule("norm")
    return list(blocks.children()), norm


@pytest.mark.parametrize("name", ALL)
def test_layers_are_read_through_the_final_norm_and_the_head(name: str) -> None:
    model, ids = model_of(name), passage(BLOCK_SIZE + 1)
    read = layer_readings(model, ids, RUNTIME, top=3)
    assert model.training
    blocks, norm = parts(name, model)
    layers, predicted = len(blocks) + 1, len(ids) - 1
    assert read.nats.shape == (layers, predicted)
    assert read.top_ids.shape == read.top_probabilities.shape == (layers, predicted, 3)

    own = score_ids(model, ids, RUNTIME, top=3)  # the last layer's
    np.testing.assert_allclose(read.nats[-1], own.nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(read.top_ids[-1], own.top_ids)
    np.testing.assert_allclose(read.top_probabilities[-1], own.top_probabilities, rtol=1e-4)

    # The others': the model computes up to its final norm, which gets what an earlier block returned.
    streams: list[Tensor] = []

    def keep(_: nn.Module, __: object, out: Any) -> None:
        streams.append(out[0] if isinstance(out, tuple) else out)

    hooks = [blocks[0].register_forward_pre_hook(lambda _, args: streams.append(args[0]))]
    hooks += [block.register_forward_hook(keep) for block in blocks]
    row = torch.tensor([ids[:-1]])
    with torch.no_grad():
        model.eval()(row)
        for hook in hooks:
            hook.remove()
        for layer, stream in enumerate(streams):
            hook = norm.register_forward_pre_hook(lambda _, __, stream=stream: (stream,))
            losses = F.cross_entropy(model(row)[0], torch.tensor(ids[1:]), reduction="none")
            hook.remove()
            np.testing.assert_allclose(read.nats[layer], losses, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["modern", "hf-gemma3-lora", "manual"])
def test_the_model_is_the_same_afterwards(name: str) -> None:
    model, row = model_of(name), torch.tensor([passage()])
    with torch.no_grad():
        before = model.eval()(row)
        layer_readings(model, passage(), RUNTIME, top=1)
        assert torch.equal(model(row), before)
    assert not any("forward" in vars(module) or vars(module)["_forward_hooks"] for module in model.modules())


class Skipping(Manual):
    """Its head sees what the first block returns, too."""

    def forward(self, ids: Tensor) -> Tensor:
        x = first = self.wte(ids)
        for index, block in enumerate(self.blocks.children()):
            x, _ = block(x)
            first = x if index == 0 else first
        logits: Tensor = self.head(self.norm(x)) + self.head(first)
        return logits


class Twice(Manual):
    """Its blocks are called twice."""

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = super().forward(ids) + super().forward(ids)
        return logits


def test_a_model_without_a_residual_stream_is_refused() -> None:
    for model in (Bigram(), Twice()):
        with pytest.raises(AnalysisError, match=r"no nn\.ModuleList of blocks"):
            layer_readings(model, passage(), RUNTIME, top=1)
    with pytest.raises(AnalysisError, match=r"no nn\.ModuleList of blocks"):
        pooled_states(Bigram(), [passage()], RUNTIME)
    with pytest.raises(AnalysisError, match="not a function of its last block's output alone"):
        layer_readings(Skipping(), passage(), RUNTIME, top=1)


@pytest.mark.parametrize("name", ALL)
def test_states_of_texts_are_means_over_their_tokens(name: str) -> None:
    model = model_of(name)
    texts = [passage(5), passage(1), [], passage(BLOCK_SIZE), passage(2 * BLOCK_SIZE + 3)]
    found = pooled_states(model, texts, RUNTIME)
    assert model.training
    _, norm = parts(name, model)
    taken: list[Tensor] = []
    hook = norm.register_forward_hook(lambda _, __, out: taken.append(out[0]))
    if model.split() is None:  # the stream before the norm
        hook.remove()
        hook = norm.register_forward_pre_hook(lambda _, args: taken.append(args[0][0]))
    with torch.no_grad():
        for text, mean in zip(texts, found, strict=True):
            taken.clear()
            for at in range(0, len(text), BLOCK_SIZE):
                model.eval()(torch.tensor([text[at : at + BLOCK_SIZE]]))
            expected = torch.cat(taken).mean(dim=0) if text else torch.zeros(found.shape[1])
            np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    hook.remove()


@pytest.mark.parametrize("name", ALL)
def test_the_table_has_what_the_model_embeds_tokens_as(name: str) -> None:
    model, ids = model_of(name), passage()
    table = token_table(model)
    assert table.shape == (VOCAB, 24 if name == "manual" else 32)
    embedding = model.token_embedding()
    assert embedding is not None
    taken: list[Tensor] = []
    hook = embedding.register_forward_hook(lambda _, __, out: taken.append(out[0]))
    with torch.no_grad():
        model(torch.tensor([ids]))
    hook.remove()
    np.testing.assert_allclose(table[ids], taken[0], rtol=1e-6)


def test_a_trained_row_is_in_the_table() -> None:
    plain, adapted = (token_table(model_of(name)) for name in ("hf-qwen2", "hf-qwen2-lora"))
    differing = np.flatnonzero((plain != adapted).any(axis=1))
    assert differing.tolist() == [3]


class WithoutTable(Bigram):
    def token_embedding(self) -> None:
        return None


def test_a_model_without_a_table_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"no nn\.Embedding"):
        token_table(WithoutTable())
