"""Intervals by resampling: over windows of the validation text, and over seeds (Efron and Tibshirani 1993)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_playground.analysis.statistics import CONFIDENCE, Interval

Floats = NDArray[np.float64]

_ROUNDS = 2000
_TAILS = (100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2)  # percentiles


def of_another_text(group: Floats, base: Floats, predictions: Floats, *, block: int | None = None) -> Interval:
    """The difference in nats per token between two groups, had the validation text been another one like it.

    Neighbouring windows are alike, so that blocks of them are drawn (circular block bootstrap, Politis and Romano
    1992), the same ones for both groups. The seeds stay those that there are.

    Args:
        group: nats per window, shape (runs, W).
        base: the same of the base, shape (runs, W).
        predictions: in each window, shape (W,).
        block: windows per block; the cube root of W if left out.

    Raises:
        ValueError: there are fewer than two windows, or not the same for all.
    """
    windows = len(predictions)
    if windows < 2 or group.shape[1:] != (windows,) or base.shape[1:] != (windows,):
        raise ValueError("another text can be drawn from two or more windows, the same for both groups")
    size = block or max(1, round(windows ** (1 / 3)))
    starts = np.random.default_rng(0).integers(windows, size=(_ROUNDS, math.ceil(windows / size)))
    nats = _block_sums(group.mean(axis=0) - base.mean(axis=0), size)[starts].sum(axis=1)
    low, high = np.percentile(nats / _block_sums(predictions, size)[starts].sum(axis=1), _TAILS)
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class Curve:
    """The evaluations of a group's runs.

    Attributes:
        at: steps, tokens, FLOPs or seconds at each evaluation, increasing, shape (runs, E).
        losses: exact validation losses, shape (runs, E).
    """

    at: Floats
    losses: Floats

    def drawn(self, runs: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """The mean of some runs: where, and what, both (E,)."""
        return self.at[runs].mean(axis=0), self.losses[runs].mean(axis=0)


@dataclass(frozen=True)
class Share:
    """What a group needs of its base's budget to reach the loss at which that ends.

    Attributes:
        value: 0.5 is half of it; None if the group never reaches that loss.
        interval: of `CONFIDENCE`, over seeds; its upper end is infinite where the loss is not always reached.
    """

    value: float | None
    interval: Interval


def share_of_budget(group: Curve, base: Curve, *, paired: bool) -> Share:
    """How much of the base's steps, tokens, FLOPs or seconds the group needs for the loss at the base's end.

    The groups' mean curves are taken as linear between evaluations, and never extended. A learning rate that decays
    makes a loss on the way worse than that of a complete shorter run, so that the share is rather too large than too
    small.

    Args:
        group: its evaluations.
        base: those of the base.
        paired: whether row i of both is of the same seed.
    """
    chance = np.random.default_rng(0)
    runs, others = len(group.losses), len(base.losses)
    shares = np.empty(_ROUNDS)
    for round_ in range(_ROUNDS):
        drawn = chance.integers(runs, size=runs)
        shares[round_] = _share(group, base, drawn, drawn if paired else chance.integers(others, size=others))
    value = _share(group, base, np.arange(runs), np.arange(others))
    low, high = np.percentile(shares, _TAILS, method="nearest")  # others would interpolate with infinity
    return Share(value if math.isfinite(value) else None, Interval(float(low), float(high)))


def _share(group: Curve, base: Curve, runs: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    """The share for the means of some runs; infinite if it is not reached."""
    (at, losses), (base_at, base_losses) = group.drawn(runs), base.drawn(others)
    wanted, budget = base_losses[-1], base_at[-1]
    reached = np.flatnonzero(losses <= wanted)
    if not len(reached):
        return math.inf
    first = reached[0]
    if first == 0:
        return float(at[0] / budget)
    here, before = losses[first], losses[first - 1]
    return float((at[first] - (at[first] - at[first - 1]) * (wanted - here) / (before - here)) / budget)


def _block_sums(values: Floats, size: int) -> Floats:
    """The sum of the `size` values that begin at each place, around the end, shape (W,)."""
    sums = np.concatenate([[0.0], np.cumsum(np.resize(values, len(values) + size))])
    result: Floats = sums[size:-1] - sums[: -1 - size]
    return result
