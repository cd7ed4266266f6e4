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
        layer: from 1.
        head: from 1.
        itself: the token at the position itself.
        previous: the token before it.
        first: the first token of the passage, where heads that have nothing to look for often rest (Xiao et al. 2023).
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
        self._sums: npt.NDArray[np.float64] | None = None  # (5, L, H)
        self._chance = 0.0
        self._rows = 0

    def add(self, weights: Floats, ids: Sequence[int]) -> None:
        """Add a passage: weights (L, H, T, T), query by key, and the T tokens that attend."""
        if len(ids) < 2:
            return
        at = np.arange(len(ids))
        distance = at[1:, None] - at  # (T - 1, T)
        follows = _follows(np.asarray(ids))[1:]
        masks = np.stack([distance == 0, distance == 1, np.broadcast_to(at == 0, distance.shape), follows, distance])
        sums = np.einsum("lhqk,mqk->mlh", weights[:, :, 1:].astype(np.float64), masks.astype(np.float64))
        self._sums = sums if self._sums is None else self._sums + sums
        self._chance += float((follows.sum(axis=1) / (at[1:] + 1)).sum())
        self._rows += len(ids) - 1

    @property
    def chance(self) -> float:
        """What `induction` would be if all tokens got the same attention."""
        return self._chance / max(1, self._rows)

    def result(self) -> list[HeadHabits]:
        """The means, by layer and head."""
        if self._sums is None:
            return []
        means = self._sums / self._rows
        _, layers, heads = means.shape
        return [
            HeadHabits(layer + 1, head + 1, *map(float, means[:, layer, head]))
            for layer in range(layers)
            for head in range(heads)
        ]


def _follows(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which keys (columns) come right after an earlier occurrence of the query's token (rows), (T, T)."""
    same = np.tril(ids[:, None] == ids, -1)
    moved = np.zeros(same.shape, dtype=np.bool_)
    moved[:, 1:] = same[:, :-1]
    return moved
