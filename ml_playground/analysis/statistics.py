"""Whether one group of runs differs from another, and how sure that is.

A value here is the exact validation loss at the end of a run, so smaller is better; the runs of a group differ in their
seed. What varies is the seed: for what another validation text would say see `bootstrap`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8

Verdict = Literal["better", "worse", "equivalent", "cannot tell"]

_RESAMPLES = 2**16  # beyond as many rearrangements, that many are drawn
_MOST_SEEDS = 10**6


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, which may be infinite."""

    low: float
    high: float


@dataclass(frozen=True)
class Permutation:
    """What rearranging the runs says, which assumes no distribution.

    Attributes:
        p: share of rearrangements that differ at least as much, both sides.
        floor: the smallest `p` that so few runs can reach.
        exact: whether all rearrangements were tried.
    """

    p: float
    floor: float
    exact: bool


@dataclass(frozen=True)
class Difference:
    """The mean of a group less that of its base.

    Attributes:
        mean: negative if the group is better.
        standard_error: of the mean.
        degrees: of freedom of Student's t.
        interval: of `CONFIDENCE`.
        p: two-sided, of the t test.
        paired: whether runs of the same seed were compared.
        correlation: of the pairs; None where there are none, or one side does not vary.
        permutation: the same question without a distribution.
        seeds: runs in the group and in the base.
    """

    mean: float
    standard_error: float
    degrees: float
    interval: Interval
    p: float
    paired: bool
    correlation: float | None
    permutation: Permutation
    seeds: tuple[int, int]


def difference(group: Sequence[float], base: Sequence[float], *, paired: bool) -> Difference:
    """Compare two groups: by the t test for pairs, else by Welch's.

    Args:
        group: a value for each run.
        base: the same; where `paired`, in the same order of seeds.
        paired: whether runs of the same seed saw the same batches.

    Raises:
        ValueError: a group has fewer than two runs, or pairs are incomplete.
    """
    one, other = np.asarray(group, float), np.asarray(base, float)
    if min(len(one), len(other)) < 2:
        raise ValueError("a group needs at least two runs")
    if paired and len(one) != len(other):
        raise ValueError("pairs need as many runs on both sides")
    mean = float(one.mean() - other.mean())
    if paired:
        differences = one - other
        error, degrees = float(differences.std(ddof=1)) / math.sqrt(len(one)), len(one) - 1.0
    else:
        shares = [float(each.var(ddof=1)) / len(each) for each in (one, other)]
        error = math.sqrt(sum(shares))
        below = sum(share**2 / (len(each) - 1) for share, each in zip(shares, (one, other), strict=True))
        degrees = sum(shares) ** 2 / below if below else len(one) + len(other) - 2.0
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)) * error
    return Difference(
        mean=mean,
        standard_error=error,
        degrees=degrees,
        interval=Interval(mean - half, mean + half),
        p=_two_sided(mean, error, degrees),
        paired=paired,
        correlation=float(np.corrcoef(one, other)[0, 1]) if paired and one.std() and other.std() else None,
        permutation=_permutation(one, other, paired=paired),
        seeds=(len(one), len(other)),
    )


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979); the order stays."""
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def verdict(found: Difference, *, p: float, equivalence: float | None = None) -> Verdict:
    """What a difference amounts to.

    Args:
        found: the difference.
        p: its p value, corrected for the number of comparisons.
        equivalence: differences smaller than this do not matter; None if all do. Where the difference is proved to be
            within it, by two one-sided tests (Schuirmann 1987), it is `equivalent`, whatever its sign.
    """
    if equivalence is not None and equivalent(found, equivalence):
        return "equivalent"
    if p >= ALPHA:
        return "cannot tell"
    return "better" if found.mean < 0 else "worse"


def equivalent(found: Difference, within: float) -> bool:
    """Whether two one-sided tests reject that the true difference is `within` or more."""
    half = float(stats.t.ppf(1 - ALPHA, found.degrees)) * found.standard_error
    return abs(found.mean) + half < within


def detectable(found: Difference, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest true difference that so many runs, varying like this, would find with that power."""
    return _detectable(found.standard_error, found.degrees, power, alpha)


def seeds_needed(found: Difference, effect: float, *, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """How many runs each group needs for a true difference of `effect` to be found with that power.

    None if it is more than a million.

    Raises:
        ValueError: `effect` is not positive.
    """
    if effect <= 0:
        raise ValueError("an effect to look for is greater than 0")
    now = 2 / sum(1 / n for n in found.seeds)  # runs in each of two groups of the same size that vary as much
    freedom = found.degrees / (now - 1)  # per run of each group: 1 for pairs, up to 2 otherwise

    def enough(seeds: int) -> bool:
        error = found.standard_error * math.sqrt(now / seeds)
        return _detectable(error, freedom * (seeds - 1), power, alpha) <= effect

    high = 2
    while not enough(high):
        high *= 2
        if high > _MOST_SEEDS:
            return None
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def pooled_sd(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within groups that vary alike, and its degrees of freedom; nan without any."""
    degrees = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.var(group, ddof=1)) * (len(group) - 1) for group in groups if len(group) > 1)
    return (math.sqrt(squares / degrees) if degrees else math.nan), degrees


def _two_sided(mean: float, error: float, degrees: float) -> float:
    """The p value of a mean; without any variation it is certain."""
    if not error:
        return 0.0 if mean else 1.0
    return float(2 * stats.t.sf(abs(mean) / error, degrees))


def _permutation(one: np.ndarray, other: np.ndarray, *, paired: bool) -> Permutation:
    """Swap the sides of pairs, or the groups of runs, in all ways or, if these are too many, in many random ones."""
    ways = 2 ** len(one) if paired else math.comb(len(one) + len(other), len(one))
    exact = ways <= _RESAMPLES
    found = stats.permutation_test(
        (one, other),
        _mean_difference,
        permutation_type="samples" if paired else "independent",
        n_resamples=_RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return Permutation(float(found.pvalue), min(1.0, 2 / (ways if exact else _RESAMPLES + 1)), exact)


def _mean_difference(one: np.ndarray, other: np.ndarray, axis: int = 0) -> np.ndarray:
    difference: np.ndarray = np.mean(one, axis=axis) - np.mean(other, axis=axis)
    return difference


def _detectable(error: float, degrees: float, power: float, alpha: float) -> float:
    if not error:
        return 0.0
    critical = float(stats.t.ppf(1 - alpha / 2, degrees))
    missing: Callable[[float], float] = partial(_missing_power, degrees=degrees, critical=critical, power=power)
    high = critical + 10.0
    while missing(high) > 0:
        high *= 2
    return float(brentq(missing, 0.0, high)) * error


def _missing_power(noncentrality: float, *, degrees: float, critical: float, power: float) -> float:
    """What a t test lacks of `power`, for a true difference of that many standard errors.

    The square of t has the noncentral F distribution, which SciPy computes further out than that of t.
    """
    return power - 1 + float(special.ncfdtr(1, degrees, noncentrality**2, critical**2))
