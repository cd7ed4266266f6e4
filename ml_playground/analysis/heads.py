"""What each attention head attends to, over many tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_playground.analysis.scores import Floats


@dataclass(frozen=True)
class HeadHabits:
    """Mean shares of one head's attention, 0 to 1. They may overlap, and need not add up to 1.

    Attributes:
        layer: see `attention_layers`.
        head: from 1.
        itself: the token at the position itself.
        previous: the token before it.
        first: the first token of the passage, often an attention sink (Xiao et al. 2023).
        induction: tokens that followed an earlier occurrence of the token at the position (Olsson et al. 2022).
        distance: how many tokens back the attention goes, on average.
    """

    layer: int
    head: int
    itself: float
    previous: float
    first: float
    induction: float
    distance: float


class Habits:
    """Adds up what heads attend to in one passage after another.

    The first position of each, which sees only itself, does not count.
    """

    def __init__(self) -> None:
        self._layers: Sequence[int] = []
        self._sums: npt.NDArray[np.float64] | None = None  # (L, 5, H)
        self._chance = 0.0
        self._rows = 0

    def add(self, layers: Sequence[tuple[int, npt.NDArray[np.float64]]], ids: Sequence[int]) -> None:
        """Add a passage: the numbers of its layers with their `head_sums` (5, H), and the T tokens that attend."""
        if len(ids) < 2:
            return
        sums = np.stack([each for _, each in layers])
        self._layers = [number for number, _ in layers]
        self._sums = sums if self._sums is None else self._sums + sums
        self._chance += float((_follows(np.asarray(ids))[1:].sum(axis=1) / np.arange(2, len(ids) + 1)).sum())
        self._rows += len(ids) - 1

    @property
    def chance(self) -> float:
        """What `induction` would be if all tokens got the same attention."""
        return self._chance / max(1, self._rows)

    def result(self) -> list[HeadHabits]:
        """The means, by layer and head."""
        if self._sums is None:
            return []
        return [
            HeadHabits(layer, head, *map(float, means))
            for layer, of_layer in zip(self._layers, self._sums / self._rows, strict=True)
            for head, means in enumerate(of_layer.T, start=1)
        ]


def head_sums(weights: Floats, ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """What the H heads of a layer attend to in a passage of T tokens, added up over all positions but the first.

    Args:
        weights: of the layer (H, T, T), query by key.
        ids: the T tokens that attend.

    Returns:
        Shape (5, H): the shares of `HeadHabits` in its order, and the distance.
    """
    late, at = weights[:, 1:], np.arange(len(ids), dtype=np.float64)
    itself, previous = (late.diagonal(offset, axis1=1, axis2=2) for offset in (1, 0))
    following = late[:, _follows(np.asarray(ids))[1:]]
    shares = [each.sum(axis=-1, dtype=np.float64) for each in (itself, previous, late[:, :, 0], following)]
    of_queries, of_keys = (late.sum(axis=axis, dtype=np.float64) for axis in (2, 1))
    return np.stack([*shares, of_queries @ at[1:] - of_keys @ at])


def _follows(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which keys (columns) come right after an earlier occurrence of the query's token (rows), (T, T)."""
    same = np.tril(ids[:, None] == ids, -1)
    moved = np.zeros(same.shape, dtype=np.bool_)
    moved[:, 1:] = same[:, :-1]
    return moved
