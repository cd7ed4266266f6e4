"""What is measured of passages, against the model itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.analysis.attention import attention_layers, attention_weights
from ml_playground.analysis.explore import Passage, attended, explore, most_attended, surprising
from ml_playground.analysis.subject import Source, Subject
from ml_playground.commands import load_experiment
from ml_playground.data.store import open_dataset
from ml_playground.evaluation import Evaluator
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.runtime import resolve
from tests.project import Project

RUNTIME = resolve("cpu", "float32")
SOURCE = Source("ckpt_best.pt", "0" * 64, 1, "f" * 64, {})
CONTEXT = 8


@pytest.fixture
def subject(project: Project) -> Subject:
    """An untrained model and the data of the tiny project."""
    project.ok("prepare")
    _, config = load_experiment(project.folder)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    torch.manual_seed(0)
    args: dict[str, Any] = {"n_layer": 2, "n_head": 3, "n_embd": 12, "block_size": CONTEXT, "dropout": 0.2}
    vocabulary = dataset.tokenizer.vocab_size
    model = build_model(args | {"bias": False, "vocab_size": vocabulary}).eval()
    evaluator = Evaluator(dataset.val, text_bytes=1, vocab_size=vocabulary, context=CONTEXT)
    return Subject(model, dataset, RUNTIME, CONTEXT, evaluator)


class WithoutAttention(LanguageModel):
    """Predicts from the token before it alone."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.block_size, self.vocab_size = CONTEXT, vocab_size
        self.table = torch.nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        logits: Tensor = self.table(ids)
        return logits


def losses_of(model: LanguageModel, ids: Sequence[int]) -> list[float]:
    """In nats, of all tokens but the first."""
    with torch.no_grad():
        logits = model(torch.tensor([ids[:-1]]))[0]
    return F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none").tolist()


def quiet(_: str) -> None:
    """Progress that no one is to see."""


@pytest.mark.parametrize("tokens", [3, CONTEXT, 100])
def test_the_most_surprising_windows_are_those_with_the_highest_losses(subject: Subject, tokens: int) -> None:
    found, loss = surprising(subject, 3, tokens)
    width, val = min(tokens, CONTEXT), subject.dataset.val.tolist()
    starts = range(0, len(val) - width, width)
    means = {start: float(np.mean(losses_of(subject.model, val[start : start + width + 1]))) for start in starts}
    assert len({each.start for each in found}) == 3
    assert [means[each.start or 0] for each in found] == pytest.approx(sorted(means.values(), reverse=True)[:3])
    for each in found:
        assert each.ids == val[each.start or 0 :][: width + 1]
    evaluated = subject.evaluator(subject.model, RUNTIME)
    assert evaluated is not None
    assert loss == pytest.approx(evaluated.loss, rel=1e-6)
    shorter = replace(subject, context=2, evaluator=replace(subject, context=2).of(subject.dataset.val, 0))
    evaluated = shorter.evaluator(subject.model, RUNTIME)
    assert evaluated is not None
    assert surprising(shorter, 3, tokens)[1] == pytest.approx(evaluated.loss, rel=1e-6)


def test_a_passage_is_measured_in_every_way(subject: Subject) -> None:
    ids = subject.dataset.val[: CONTEXT + 1].tolist()
    said: list[str] = []
    made = explore("run", SOURCE, subject, [Passage(ids)], 3, said.append)
    (each,) = made.passages
    expected = losses_of(subject.model, ids)
    np.testing.assert_allclose(each.scores.nats, expected, rtol=1e-5)
    assert each.readings is not None
    assert each.readings.nats.shape == (3, CONTEXT)
    np.testing.assert_allclose(each.readings.nats[-1], expected, rtol=1e-4)
    assert each.effects.shape == (CONTEXT, 3)
    third = losses_of(subject.model, [ids[0], *ids[2:4]])[-1] - expected[2]
    assert each.effects[2, 1] == pytest.approx(third, abs=1e-5)  # ids[3] without ids[1], two before it
    assert each.attended is not None
    assert each.attended.places.shape == (CONTEXT, 2, 4, CONTEXT)  # three heads and their mean
    assert len(made.heads) == 6
    assert made.missing == []
    assert said == ["passage 1 of 1"]
    assert set(ids) | set(each.scores.top_ids.flatten().tolist()) <= made.texts.keys()


def test_the_most_attended_tokens_come_first(subject: Subject) -> None:
    ids = subject.dataset.val[:CONTEXT].tolist()
    weights = attention_weights(subject.model, ids, RUNTIME)
    found = attended(attention_layers(subject.model, ids, RUNTIME, most_attended), predictions=CONTEXT)
    assert found.layers == [1, 2]
    whole = np.concatenate([weights, weights.mean(axis=1, keepdims=True)], axis=1)
    for query in range(CONTEXT):
        for layer in range(2):
            for head in range(4):
                row, places = whole[layer, head, query], found.places[query, layer, head]
                np.testing.assert_allclose(found.weights[query, layer, head], row[places], rtol=1e-6)
                assert (np.diff(row[places]) <= 0).all()
                assert sorted(places.tolist()) == list(range(CONTEXT))


@pytest.mark.parametrize(("predictions", "kept"), [(8, 8), (2**15, 4), (2**20, 1)])
def test_a_large_page_keeps_fewer_weights_of_each_head(predictions: int, kept: int) -> None:
    weights = np.full((3, 8, 8), 1 / 8, dtype=np.float32)
    assert attended([(1, most_attended(weights))], predictions).weights.shape == (8, 1, 4, kept)


def test_a_model_without_attention_or_layers_is_explored_all_the_same(subject: Subject) -> None:
    torch.manual_seed(0)
    bare = Subject(WithoutAttention(subject.model.vocab_size), subject.dataset, RUNTIME, CONTEXT, subject.evaluator)
    ids = subject.dataset.val[:6].tolist()
    made = explore("run", SOURCE, bare, [Passage(ids), Passage(ids[:4])], 3, quiet)
    assert [each.attended for each in made.passages] == [None, None]
    assert [each.readings for each in made.passages] == [None, None]
    assert len(made.missing) == 2  # each reason once
    assert made.heads == []
    np.testing.assert_allclose(made.passages[0].scores.nats, losses_of(bare.model, ids), rtol=1e-5)
    assert (np.abs(made.passages[0].effects[2:, 1:]) < 1e-6).all()  # only the token before it matters
