"""What a model does at each token of a passage: alternatives, attention, what it relies on, layer by layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ml_playground.analysis.attention import attention_layers
from ml_playground.analysis.heads import Habits, HeadHabits, head_sums
from ml_playground.analysis.salience import erasures
from ml_playground.analysis.scores import Floats, Integers, Scores, score, score_ids, token_text
from ml_playground.analysis.states import LayerReadings, layer_readings
from ml_playground.analysis.subject import Source, Subject
from ml_playground.analysis.windows import full_windows
from ml_playground.errors import AnalysisError

VERSION = 2
"""To be raised with each change of what is measured or shown: a page of an earlier version is made again."""

ALTERNATIVES = 8
READINGS = 3
"""How many of the likeliest tokens are kept of each layer's reading."""

_ATTENDED = 2**19  # weights that a page keeps, of all tokens and heads: with 3 bytes each, 2 MiB in base64
_MOST_ATTENDED = 16


@dataclass(frozen=True)
class Passage:
    """A passage to look at.

    Attributes:
        ids: its tokens, at least 2.
        start: index of its first token in the validation text, None if it comes from elsewhere.
    """

    ids: Sequence[int]
    start: int | None = None


class Top(NamedTuple):
    """The tokens that each head of a layer attends to most, the most attended first.

    Attributes:
        places: their indices in the passage (H, N, K).
        weights: the attention that they get, 0 to 1 (H, N, K).
    """

    places: Integers
    weights: Floats


@dataclass(frozen=True)
class Attended:
    """The tokens that each head attends to most, where each of the N tokens of a passage is predicted.

    Attributes:
        layers: the numbers of the layers that have attention, see `attention_layers` (L).
        places: their indices in the passage, by layer and head, the most attended first (N, L, H, K). Where there are
            several heads, their mean comes after them as one more.
        weights: the attention that they get, 0 to 1; 0 also where there are fewer than K (N, L, H, K).
    """

    layers: Sequence[int]
    places: Integers
    weights: Floats


@dataclass(frozen=True)
class Explored:
    """What a model does in a passage of T tokens, of which it predicts all but the first: N = T - 1.

    Attributes:
        passage: its tokens.
        scores: losses and alternatives, of N tokens.
        attended: None if the model's attention cannot be read.
        effects: by how many nats the loss of each token rises when the one before it, the one before that and so on is
            left out; 0 where there is none (N, R).
        readings: nats (L + 1, N) and likeliest tokens (L + 1, N, K) after the embedding and after each layer; None if
            they cannot be read.
    """

    passage: Passage
    scores: Scores
    attended: Attended | None
    effects: Floats
    readings: LayerReadings | None


@dataclass(frozen=True)
class Exploration:
    """Passages as a model reads them.

    Attributes:
        name: of the run.
        validation_loss: as training measures it, in nats per token; None if it was not measured.
        passages: what was looked at.
        heads: what each head attends to, over all passages; none if the attention cannot be read.
        chance: see `Habits`.
        missing: what could not be measured, and why.
        texts: how to show each token that occurs in the passages, or instead.
    """

    name: str
    source: Source
    validation_loss: float | None
    passages: Sequence[Explored]
    heads: Sequence[HeadHabits]
    chance: float
    missing: Sequence[str]
    texts: dict[int, str]

    def as_json(self) -> dict[str, Any]:
        """What it was made from, and the passages without what was measured of each token, as JSON types."""
        return {
            "name": self.name,
            "source": vars(self.source),
            "validation_loss": self.validation_loss,
            "passages": [
                {
                    "start": each.passage.start,
                    "loss": each.scores.loss,
                    "tokens": [self.texts[token] for token in each.passage.ids],
                }
                for each in self.passages
            ],
        }


def surprising(subject: Subject, count: int, tokens: int) -> tuple[list[Passage], float]:
    """The windows of the validation text with the highest losses, the highest first, and the validation loss.

    That is the one of training and of the report, in nats per token, whatever the length of the windows to be found.

    Args:
        subject: the model, its data, and how much of the validation text counts.
        count: how many windows.
        tokens: predictions in each, at most the model's `block_size`.
    """
    length, val = min(tokens, subject.model.block_size), subject.dataset.val
    evaluator = replace(subject, context=length).of(val, subject.evaluator.predictions)
    scores = score(subject.model, evaluator, subject.runtime)
    same = length == subject.context
    loss = scores.loss if same else score(subject.model, subject.evaluator, subject.runtime).loss
    windows = full_windows(scores)
    worst = windows.starts[np.argsort(-windows.losses, kind="stable")[:count]].tolist()
    return [Passage(val[start : start + windows.length + 1].tolist(), start) for start in worst], loss


def explore(
    name: str,
    source: Source,
    subject: Subject,
    passages: Sequence[Passage],
    reach: int,
    progress: Callable[[str], None],
    *,
    validation_loss: float | None = None,
) -> Exploration:
    """Measure all that a page shows of some passages.

    Args:
        name: of the run.
        source: what it is made from.
        subject: the model with its data.
        passages: each of 2 to `block_size` + 1 tokens.
        reach: how many of the tokens before each one to leave out, one at a time (R).
        progress: called with what is measured next.
        validation_loss: see `Exploration`.
    """
    explorer = _Explorer(subject, reach, predictions=sum(len(each.ids) - 1 for each in passages))
    explored: list[Explored] = []
    for number, passage in enumerate(passages, start=1):
        progress(f"passage {number} of {len(passages)}")
        explored.append(explorer.explored(passage))
    return Exploration(
        name=name,
        source=source,
        validation_loss=validation_loss,
        passages=explored,
        heads=explorer.habits.result(),
        chance=explorer.habits.chance,
        missing=list(explorer.missing),
        texts={token: token_text(subject.dataset.tokenizer, token) for token in sorted(_shown(explored))},
    )


T = TypeVar("T")


class _Explorer:
    """Measures one passage after another."""

    def __init__(self, subject: Subject, reach: int, *, predictions: int) -> None:
        self._subject = subject
        self._reach = reach
        self._predictions = predictions
        self.habits = Habits()
        self.missing: dict[str, None] = {}  # in order, each once

    def explored(self, passage: Passage) -> Explored:
        """What the model does in it."""
        ids, model, runtime = passage.ids, self._subject.model, self._subject.runtime
        layers = self._tried(lambda: attention_layers(model, ids[:-1], runtime, partial(_reduced, ids=ids[:-1])))
        if layers is not None:
            self.habits.add([(number, each.sums) for number, each in layers], ids[:-1])
        return Explored(
            passage=passage,
            scores=score_ids(model, ids, runtime, top=ALTERNATIVES),
            attended=None if layers is None else attended([(n, each.top) for n, each in layers], self._predictions),
            effects=erasures(model, ids, runtime, min(self._reach, len(ids) - 1))[1:],
            readings=self._tried(lambda: layer_readings(model, ids, runtime, READINGS)),
        )

    def _tried(self, measure: Callable[[], T]) -> T | None:
        """What `measure` returns. If the model has no such thing, None, with the reason kept in `missing`."""
        try:
            return measure()
        except AnalysisError as error:
            self.missing[str(error)] = None
            return None


class _Reduced(NamedTuple):
    """What is kept of a layer's attention: see `head_sums` and `most_attended`."""

    sums: npt.NDArray[np.float64]
    top: Top


def _reduced(weights: Floats, ids: Sequence[int]) -> _Reduced:
    return _Reduced(head_sums(weights, ids), most_attended(weights))


def most_attended(weights: Floats) -> Top:
    """Where each head of a layer (H, N, N) attends most, and where their mean does if there are several."""
    if len(weights) > 1:
        weights = np.concatenate([weights, weights.mean(axis=0, keepdims=True)])
    top = torch.as_tensor(weights).topk(min(weights.shape[-1], _MOST_ATTENDED), dim=-1)
    return Top(top.indices.numpy(), top.values.numpy())


def attended(layers: Sequence[tuple[int, Top]], predictions: int) -> Attended:
    """The most attended tokens of a passage, fewer of each head the more heads and tokens there are.

    Args:
        layers: numbers of the passage's layers and what is `most_attended` in each.
        predictions: tokens on the whole page, which share the space.
    """
    places = np.stack([top.places for _, top in layers], axis=1)  # (H, L, N, K)
    weights = np.stack([top.weights for _, top in layers], axis=1)
    kept = max(1, _ATTENDED // (predictions * len(layers) * len(places)))
    return Attended(
        layers=[number for number, _ in layers],
        places=places.transpose(2, 1, 0, 3)[..., :kept].copy(),
        weights=weights.transpose(2, 1, 0, 3)[..., :kept].copy(),
    )


def _shown(explored: Sequence[Explored]) -> set[int]:
    """The ids that occur."""
    ids: set[int] = set()
    for each in explored:
        ids |= {*each.passage.ids, *each.scores.top_ids.flatten().tolist()}
        if each.readings is not None:
            ids |= set(each.readings.top_ids.flatten().tolist())
    return ids
