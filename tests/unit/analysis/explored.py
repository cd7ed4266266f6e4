"""Explorations of any size, made up."""

import numpy as np

from ml_playground.analysis.explore import (
    ALTERNATIVES,
    READINGS,
    Exploration,
    Explored,
    Passage,
    attended,
    most_attended,
)
from ml_playground.analysis.heads import HeadHabits
from ml_playground.analysis.scores import Scores
from ml_playground.analysis.states import LayerReadings
from ml_playground.analysis.subject import Source

SOURCE = Source("ckpt_best.pt", "0" * 64, 100, "f" * 64, {"reach": 8})


def made_up(
    texts: list[str],
    *,
    passages: int = 1,
    tokens: int = 40,
    layers: int = 2,
    heads: int = 2,
    reach: int = 8,
    without_attention: int = 0,
) -> Exploration:
    """Random measurements of random tokens, whose texts are given; the token after the first is the least likely.

    Layers `without_attention` come before those that have it.
    """
    random = np.random.RandomState(0)
    predicted = tokens - 1
    numbers = range(without_attention + 1, without_attention + layers + 1)

    def one(start: int) -> Explored:
        nats = random.rand(predicted).astype(np.float32) * 8
        nats[0] = 20
        weights = np.tril(random.rand(layers, heads, predicted, predicted).astype(np.float32) ** 4)
        weights /= weights.sum(axis=-1, keepdims=True)
        likeliest = -np.sort(-random.dirichlet(np.ones(ALTERNATIVES), predicted).astype(np.float32))
        ids = random.randint(0, len(texts), tokens)
        scores = Scores(
            ids=ids[1:],
            nats=nats,
            ranks=random.randint(0, len(texts), predicted),
            entropies=nats,
            confidences=likeliest[:, 0],
            positions=np.arange(predicted),
            top_ids=random.randint(0, len(texts), likeliest.shape),
            top_probabilities=likeliest,
        )
        read = (without_attention + layers + 1, predicted)
        readings = LayerReadings(
            nats=random.rand(*read).astype(np.float32) * 8,
            top_ids=random.randint(0, len(texts), (*read, READINGS)),
            top_probabilities=random.rand(*read, READINGS).astype(np.float32) * np.float32(1 / READINGS),
        )
        effects = (random.rand(predicted, reach) - 0.3).astype(np.float32)
        top = [(number, most_attended(each)) for number, each in zip(numbers, weights, strict=True)]
        seen = attended(top, passages * predicted)
        return Explored(Passage(ids.tolist(), start * tokens), scores, seen, effects, readings)

    return Exploration(
        name="made_up",
        source=SOURCE,
        validation_loss=1.5,
        passages=[one(number) for number in range(passages)],
        heads=[HeadHabits(n, 1 + head, 0.25, 0.5, 0.125, 0.1, 3.0) for n in numbers for head in range(heads)],
        chance=0.05,
        missing=[],
        texts=dict(enumerate(texts)),
    )
