"""Curves through the losses of several settings: a parabola for one hyperparameter, a law for sizes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from ml_playground.analysis.statistics import Interval
from ml_playground.errors import PlaygroundError

Floats = NDArray[np.float64]

FARTHEST = 4.0
"""Times the largest size, or the smallest divided by it, beyond which a law makes no statement."""

FEWEST_SIZES = 4
"""That a law is fitted to."""

_AROUND = 2  # settings on each side of the best one that a parabola is fitted to
_ROUNDS = 400
_EXPONENTS = np.geomspace(0.005, 4, 64)
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Setting:
    """The runs with one value of a number that was varied, such as the learning rate or the number of parameters.

    Attributes:
        value: positive.
        losses: exact validation losses at the end, one for each seed.
    """

    value: float
    losses: Sequence[float]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.losses))


@dataclass(frozen=True)
class Parabola:
    """A parabola in the logarithm of a number, fitted around the best setting.

    Attributes:
        coefficients: of log(value) squared, log(value) and 1.
        between: the smallest and the largest value that it is fitted to.
        optimum: where it is lowest, None if that is not between the settings.
        on_edge: whether the optimum may lie outside the settings: more are needed there.
    """

    coefficients: tuple[float, float, float]
    between: Interval
    optimum: float | None
    on_edge: bool

    def at(self, values: Floats) -> Floats:
        """The losses at some values."""
        bend, slope, height = self.coefficients
        losses: Floats = (bend * np.log(values) + slope) * np.log(values) + height
        return losses


def parabola(settings: Sequence[Setting]) -> Parabola | None:
    """Fit the best setting and at most two on each side of it.

    Args:
        settings: in any order. None is returned for fewer than three values.
    """
    settings = sorted(settings, key=lambda each: each.value)
    if len(settings) < 3:
        return None
    means = [each.mean for each in settings]
    best = int(np.argmin(means))
    first = min(max(0, best - _AROUND), len(settings) - 3)
    chosen = settings[first : max(best + _AROUND, first + 2) + 1]
    bend, slope, height = (
        float(each) for each in np.polyfit(np.log([s.value for s in chosen]), [s.mean for s in chosen], 2)
    )
    between = Interval(chosen[0].value, chosen[-1].value)
    vertex = -slope / (2 * bend) if bend > 0 else math.nan
    inside = math.log(between.low) <= vertex <= math.log(between.high)  # not if there is no vertex
    on_edge = best in (0, len(settings) - 1) or not inside
    return Parabola((bend, slope, height), between, math.exp(vertex) if inside else None, on_edge)


@dataclass(frozen=True)
class Law:
    """The loss law E + A N^-a of Hoffmann et al. 2022 (arXiv:2203.15556), for one kind of size.

    Attributes:
        floor: E, the loss of an endlessly large model or text.
        scale: A.
        exponent: a.
        sizes: the smallest and the largest that it was fitted to.
        resampled: E, A and a of each bootstrap round, shape (rounds, 3).
    """

    floor: float
    scale: float
    exponent: float
    sizes: Interval
    resampled: Floats

    @property
    def reach(self) -> Interval:
        """The sizes that it makes a statement about."""
        return Interval(self.sizes.low / FARTHEST, self.sizes.high * FARTHEST)

    def at(self, size: float) -> float:
        """The loss at a size. Raises PlaygroundError if it is too far from those that were measured."""
        self._require_near(size)
        return float(self.floor + self.scale * size**-self.exponent)

    def interval(self, size: float) -> Interval:
        """Where 95% of the bootstrap rounds see the loss. Raises PlaygroundError as `at` does."""
        self._require_near(size)
        floor, scale, exponent = self.resampled.T
        low, high = np.percentile(floor + scale * size**-exponent, _TAILS)
        return Interval(float(low), float(high))

    def exponent_interval(self) -> Interval:
        """Where 95% of the bootstrap rounds see the exponent."""
        low, high = np.percentile(self.resampled[:, 2], _TAILS)
        return Interval(float(low), float(high))

    def _require_near(self, size: float) -> None:
        near = self.reach
        if not near.low * (1 - 1e-9) <= size <= near.high * (1 + 1e-9):
            raise PlaygroundError(
                f"size {size:,.4g} is more than {FARTHEST:g} times away from the sizes measured "
                f"({self.sizes.low:,.4g} to {self.sizes.high:,.4g}): train a size nearer to it."
            )


def loss_law(settings: Sequence[Setting]) -> Law:
    """Fit E + A N^-a by least squares; the bands come from resampling the residuals.

    Args:
        settings: the runs of four or more sizes N.

    Raises:
        PlaygroundError: there are fewer sizes.
    """
    values = sorted({each.value for each in settings})
    if len(values) < FEWEST_SIZES:
        raise PlaygroundError(
            f"a loss law needs {FEWEST_SIZES} sizes, and there are {len(values)}: train more sizes of the model."
        )
    sizes, losses = (
        np.array(each, dtype=np.float64)
        for each in zip(*((s.value, loss) for s in settings for loss in s.losses), strict=True)
    )
    unit = float(np.exp(np.log(sizes).mean()))  # keeps the scale of both terms alike
    floor, scale, exponent = _fitted(sizes / unit, losses)
    fitted = floor + scale * (sizes / unit) ** -exponent
    residuals = (losses - fitted) * math.sqrt(len(losses) / (len(losses) - 3))  # three parameters were fitted
    chance = np.random.default_rng(0)
    resampled = np.array(
        [_fitted(sizes / unit, fitted + chance.choice(residuals, len(losses))) for _ in range(_ROUNDS)]
    )
    resampled[:, 1] *= unit ** resampled[:, 2]
    return Law(floor, scale * unit**exponent, exponent, Interval(values[0], values[-1]), resampled)


def _fitted(sizes: Floats, losses: Floats) -> tuple[float, float, float]:
    """E, A and a with the smallest squares. For a given exponent the other two follow from a linear fit."""

    def solved(exponent: float) -> tuple[Floats, float]:
        found, distance = nnls(np.stack([np.ones_like(sizes), sizes**-exponent], axis=1), losses)
        return found, float(distance)

    nearest = int(np.argmin([solved(each)[1] for each in _EXPONENTS]))
    low, high = _EXPONENTS[max(nearest - 1, 0)], _EXPONENTS[min(nearest + 1, len(_EXPONENTS) - 1)]
    best = minimize_scalar(lambda each: solved(each)[1], bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    (floor, scale), _ = solved(float(best.x))
    return float(floor), float(scale), float(best.x)
