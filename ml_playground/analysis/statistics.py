"""Whether one group of runs differs from another, and how sure that is.

A value here is the exact validation loss at the end of a run, so smaller is better; the runs of a group differ in their
seed. What varies is the seed, but for `over_text`: there it is the validation text.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.optimize import brentq

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8

Verdict = Literal["better", "worse", "equivalent", "cannot tell"]

_RESAMPLES = 2**16  # beyond as many rearrangements, that many are drawn
_MOST_SEEDS = 10**6
_STRETCHES = 10

Floats = NDArray[np.float64]


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
        seeds: runs in the group and in the base.
        variance: of the mean with n runs in each group it is this divided by n.
        freedom: with n runs in each group it has n - 1 times as many degrees of freedom.
    """

    mean: float
    standard_error: float
    degrees: float
    interval: Interval
    p: float
    paired: bool
    correlation: float | None
    seeds: tuple[int, int]
    variance: float
    freedom: float


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
        variance, freedom = float((one - other).var(ddof=1)), 1.0
        error, degrees = math.sqrt(variance / len(one)), len(one) - 1.0
    else:
        variances = [float(each.var(ddof=1)) for each in (one, other)]
        shares = [each / len(runs) for each, runs in zip(variances, (one, other), strict=True)]
        variance, error = sum(variances), math.sqrt(sum(shares))
        freedom = variance**2 / sum(each**2 for each in variances) if variance else 2.0
        below = sum(share**2 / (len(each) - 1) for share, each in zip(shares, (one, other), strict=True))
        degrees = sum(shares) ** 2 / below if below else len(one) + len(other) - 2.0
    half = float(special.stdtrit(degrees, 0.5 + CONFIDENCE / 2)) * error
    return Difference(
        mean=mean,
        standard_error=error,
        degrees=degrees,
        interval=Interval(mean - half, mean + half),
        p=_two_sided(mean, error, degrees),
        paired=paired,
        correlation=float(np.corrcoef(one, other)[0, 1]) if paired and one.std() and other.std() else None,
        seeds=(len(one), len(other)),
        variance=variance,
        freedom=freedom,
    )


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979); the order stays."""
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Finding:
    """What is found of one of several groups.

    Attributes:
        difference: from the base.
        p: of the difference, corrected for the number of groups.
        p_equivalent: that the true difference is as large as what does not matter, or larger, corrected as well; None
            where every difference matters.
        verdict: what that amounts to.
    """

    difference: Difference
    p: float
    p_equivalent: float | None
    verdict: Verdict


def findings(differences: Sequence[Difference], *, equivalence: float | None = None) -> list[Finding]:
    """What several differences from one base amount to: p values are corrected for their number.

    Args:
        differences: of one group each.
        equivalence: differences smaller than this do not matter; None if all do. Where a difference is shown to be
            within it, the verdict is `equivalent`, whatever its sign.
    """
    corrected = holm([each.p for each in differences])
    within: Sequence[float | None] = [None] * len(differences)
    if equivalence is not None:
        within = holm([p_of_equivalence(each, equivalence) for each in differences])
    return [
        Finding(each, p, p_equivalent, _verdict(each, p, p_equivalent))
        for each, p, p_equivalent in zip(differences, corrected, within, strict=True)
    ]


def _verdict(found: Difference, p: float, p_equivalent: float | None) -> Verdict:
    if p_equivalent is not None and p_equivalent < ALPHA:
        return "equivalent"
    if p >= ALPHA:
        return "cannot tell"
    return "better" if found.mean < 0 else "worse"


def p_of_equivalence(found: Difference, within: float) -> float:
    """The p value of two one-sided tests (Schuirmann 1987): that the true difference is `within` or more."""
    if not found.standard_error:
        return float(abs(found.mean) >= within)
    return float(special.stdtr(found.degrees, (abs(found.mean) - within) / found.standard_error))


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

    def enough(seeds: int) -> bool:
        error = math.sqrt(found.variance / seeds)
        return _detectable(error, found.freedom * (seeds - 1), power, alpha) <= effect

    high = 2
    while not enough(high):
        if high == _MOST_SEEDS:
            return None
        high = min(2 * high, _MOST_SEEDS)
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def permutation(group: Sequence[float], base: Sequence[float], *, paired: bool) -> Permutation:
    """Swap the sides of pairs, or the groups of runs, in all ways or, if these are too many, in many random ones.

    Args:
        group: as `difference` takes it.
        base: the same.
        paired: the same.
    """
    one, other = np.asarray(group, float), np.asarray(base, float)
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


def over_text(group: Floats, base: Floats, predictions: Floats) -> Interval | None:
    """The difference in nats per token between two groups, had the validation text been another one like it.

    Neighbouring windows are alike, over scenes and speeches. So the text is cut into ten stretches, whose differences
    are nearly independent, and the interval is that of Student's t over them (the method of batch means, Law and Carson
    1979). The seeds stay those that there are.

    Args:
        group: nats per window, shape (runs, W).
        base: the same of the base, shape (runs, W).
        predictions: in each window, shape (W,).

    Returns:
        None for fewer than two windows in each stretch.

    Raises:
        ValueError: the windows are not the same for all.
    """
    windows = len(predictions)
    if group.shape[1:] != (windows,) or base.shape[1:] != (windows,):
        raise ValueError("both groups need the same windows")
    if windows < 2 * _STRETCHES:
        return None
    starts = np.linspace(0, windows, _STRETCHES, endpoint=False).round().astype(np.int64)
    nats = np.add.reduceat(group.mean(axis=0) - base.mean(axis=0), starts)
    tokens = np.add.reduceat(predictions, starts)
    mean = float(nats.sum() / tokens.sum())
    squares = float(((nats - mean * tokens) ** 2).sum())
    error = math.sqrt(squares * _STRETCHES / (_STRETCHES - 1)) / float(tokens.sum())
    half = float(special.stdtrit(_STRETCHES - 1, 0.5 + CONFIDENCE / 2)) * error
    return Interval(mean - half, mean + half)


def pooled_sd(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within groups that vary alike, and its degrees of freedom; nan without any."""
    degrees = sum(len(group) - 1 for group in groups if group)
    squares = sum(float(np.var(group, ddof=1)) * (len(group) - 1) for group in groups if len(group) > 1)
    return (math.sqrt(squares / degrees) if degrees else math.nan), degrees


def _two_sided(mean: float, error: float, degrees: float) -> float:
    """The p value of a mean; without any variation it is certain."""
    if not error:
        return 0.0 if mean else 1.0
    return float(2 * special.stdtr(degrees, -abs(mean) / error))


def _mean_difference(one: np.ndarray, other: np.ndarray, axis: int = 0) -> np.ndarray:
    difference: np.ndarray = np.mean(one, axis=axis) - np.mean(other, axis=axis)
    return difference


def _detectable(error: float, degrees: float, power: float, alpha: float) -> float:
    if not error:
        return 0.0
    critical = float(special.stdtrit(degrees, 1 - alpha / 2))
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
