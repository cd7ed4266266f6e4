"""How much of its base's budget a group of runs needs to be as good."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ml_playground.analysis.statistics import CONFIDENCE, Floats, Interval


@dataclass(frozen=True)
class Curve:
    """The evaluations of a group's runs.

    Attributes:
        at: steps, tokens, FLOPs or seconds at each evaluation, increasing, shape (runs, E).
        losses: exact validation losses, shape (runs, E).
    """

    at: Floats
    losses: Floats

    def mean(self, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """The mean of some runs: where, and what, both (E,)."""
        return self.at[kept].mean(axis=0), self.losses[kept].mean(axis=0)


@dataclass(frozen=True)
class Share:
    """What a group needs of what its base needs, to reach the loss at which that ends.

    Attributes:
        value: 0.5 is half of it; None if the group never reaches that loss.
        interval: of `CONFIDENCE`, over seeds; its upper end is infinite where the loss is not always reached. None for
            a single run on a side.
    """

    value: float | None
    interval: Interval | None


def share_of_budget(group: Curve, base: Curve, *, paired: bool) -> Share:
    """How much the group needs to reach the loss at the base's end, as a share of what the base needs to reach it.

    The groups' mean curves are taken as linear between evaluations, and never extended. A base that overfits has been
    at its last loss before, and it is that earlier place which counts. A learning rate that decays makes a loss on the
    way worse than that of a complete shorter run, so that the share is rather too large than too small.

    The interval is the jackknife's in the logarithm of the share, by Student's t.

    Args:
        group: its evaluations.
        base: those of the base.
        paired: whether row i of both is of the same seed.
    """
    every, all_others = _all(group), _all(base)
    value = _share(group, base, every, all_others)
    if not math.isfinite(value):
        return Share(None, None)
    if min(len(every), len(all_others)) < 2 or not value:
        return Share(value, None)
    if paired:
        sides = [[_share(group, base, left, left) for left in _leaving_one_out(len(every))]]
    else:
        sides = [
            [_share(group, base, left, all_others) for left in _leaving_one_out(len(every))],
            [_share(group, base, every, left) for left in _leaving_one_out(len(all_others))],
        ]
    return Share(value, _jackknifed(value, sides))


def _jackknifed(value: float, sides: list[list[float]]) -> Interval:
    """The interval of a share from those without one run each, of one or two independent sides."""
    if any(each == 0 for side in sides for each in side):
        return Interval(0.0, math.inf)
    reached = [[math.log(each) for each in side if math.isfinite(each)] for side in sides]
    variances = [
        (len(side) - 1) * float(np.var(logs)) if logs else 0.0 for side, logs in zip(sides, reached, strict=True)
    ]
    below = sum(each**2 / (len(side) - 1) for each, side in zip(variances, sides, strict=True))
    degrees = sum(variances) ** 2 / below if below else float(min(map(len, sides)) - 1)
    half = float(special.stdtrit(degrees, 0.5 + CONFIDENCE / 2)) * math.sqrt(sum(variances))
    always = all(len(side) == len(logs) for side, logs in zip(sides, reached, strict=True))
    return Interval(value * math.exp(-half), value * math.exp(half) if always else math.inf)


def _all(curve: Curve) -> NDArray[np.bool_]:
    return np.ones(len(curve.losses), dtype=np.bool_)


def _leaving_one_out(count: int) -> NDArray[np.bool_]:
    return ~np.eye(count, dtype=np.bool_)


def _share(group: Curve, base: Curve, kept: NDArray[np.bool_], of_base: NDArray[np.bool_]) -> float:
    """The share for the means of some runs; infinite if the loss is not reached."""
    own, other = group.mean(kept), base.mean(of_base)
    wanted = float(other[1][-1])
    needed = _first(*other, wanted)
    return _first(*own, wanted) / needed if needed else math.inf


def _first(at: Floats, losses: Floats, wanted: float) -> float:
    """Where a curve is first at a loss; infinite if it never is."""
    reached = np.flatnonzero(losses <= wanted)
    if not len(reached):
        return math.inf
    first = reached[0]
    if first == 0:
        return float(at[0])
    here, before = losses[first], losses[first - 1]
    return float(at[first] - (at[first] - at[first - 1]) * (wanted - here) / (before - here))
