"""How well a model fits a text: by position in the window, by how frequent tokens are, and how calibrated it is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_playground.analysis.scores import Integers, Scores
from ml_playground.data.store import Tokens

CALIBRATION_BINS = 15
_COUNTED = 2**22  # tokens at once


@dataclass(frozen=True)
class Bin:
    """The predictions of one kind.

    Attributes:
        first: the smallest position, or number of occurrences, among them.
        last: the largest.
        tokens: how many predictions they are.
        loss: in nats per token; None without tokens.
    """

    first: int
    last: int
    tokens: int
    loss: float | None


@dataclass(frozen=True)
class Confidence:
    """The predictions whose likeliest token has a probability between `low` and `high`.

    Attributes:
        low: from this probability on.
        high: up to this one.
        tokens: how many predictions they are.
        confidence: mean probability of the likeliest token; None without tokens.
        accuracy: share of them in which it was right; None without tokens.
    """

    low: float
    high: float
    tokens: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether the likeliest token is right as often as its probability says.

    Attributes:
        error: the expected calibration error: mean difference of confidence and accuracy in equal bins of confidence,
            each weighted by its tokens (Guo et al. 2017, "On Calibration of Modern Neural Networks").
        bins: of equal width, from 0 to 1.
    """

    error: float
    bins: list[Confidence]


def by_position(scores: Scores) -> list[Bin]:
    """Loss by the number of tokens that a prediction sees, in bins that double: 1, 2-3, 4-7, ..."""
    return _binned(scores.positions + 1, scores.nats, base=2)


def by_frequency(scores: Scores, counts: Integers) -> list[Bin]:
    """Loss by how often the predicted token occurs in the training text, in bins 0, 1-9, 10-99, ...

    Args:
        scores: of the predictions.
        counts: how often each id occurs, shape (V,).
    """
    return _binned(counts[scores.ids], scores.nats, base=10)


def token_counts(tokens: Tokens, vocab_size: int) -> Integers:
    """How often each id occurs in `tokens` (N,), shape (V,)."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), _COUNTED):
        counts += np.bincount(tokens[start : start + _COUNTED], minlength=vocab_size)
    return counts


def calibration(scores: Scores, bins: int = CALIBRATION_BINS) -> Calibration:
    """The calibration of the likeliest token."""
    places = np.minimum((scores.confidences * bins).astype(np.int64), bins - 1)
    tokens = np.bincount(places, minlength=bins)
    confident = np.bincount(places, scores.confidences, minlength=bins)
    right = np.bincount(places, scores.right, minlength=bins)
    found = [
        Confidence(
            low=index / bins,
            high=(index + 1) / bins,
            tokens=int(count),
            confidence=float(confident[index] / count) if count else None,
            accuracy=float(right[index] / count) if count else None,
        )
        for index, count in enumerate(tokens)
    ]
    return Calibration(float(np.abs(confident - right).sum() / tokens.sum()), found)


def _binned(values: Integers, nats: npt.NDArray[np.float32], base: int) -> list[Bin]:
    """Bins from 0 to 0, 1 to base - 1, base to base^2 - 1, ...; those before the first and after the last left out."""
    largest = int(values.max())
    edges = [0, 1]
    while edges[-1] <= largest:
        edges.append(edges[-1] * base)
    places = np.searchsorted(edges, values, side="right") - 1
    tokens = np.bincount(places, minlength=len(edges) - 1)
    sums = np.bincount(places, nats, minlength=len(edges) - 1)
    return [
        Bin(edges[index], edges[index + 1] - 1, int(count), float(sums[index] / count) if count else None)
        for index, count in enumerate(tokens)
        if index >= places.min()
    ]
