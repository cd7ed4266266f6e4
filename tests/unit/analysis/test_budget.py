"""What a group needs of its base's budget, on curves whose truth is known."""

import math

import numpy as np
import pytest

from ml_playground.analysis.budget import Curve, share_of_budget
from ml_playground.analysis.statistics import CONFIDENCE, Interval

STEPS = np.array([0.0, 10.0, 20.0, 30.0, 40.0])


def curve(*losses: list[float]) -> Curve:
    return Curve(np.tile(STEPS, (len(losses), 1)), np.array(losses))


def test_the_share_is_where_the_curve_crosses_the_end_of_the_base() -> None:
    base = curve([5.0, 4.0, 3.0, 2.5, 2.0], [5.0, 4.0, 3.0, 2.5, 2.0])
    twice_as_fast = curve([5.0, 3.0, 2.0, 1.5, 1.0], [5.0, 3.0, 2.0, 1.5, 1.0])
    found = share_of_budget(twice_as_fast, base, paired=True)
    assert (found.value, found.interval) == (0.5, Interval(0.5, 0.5))
    between = share_of_budget(curve([5.0, 3.0, 1.0, 1.0, 1.0]), base, paired=False)
    assert between.value == pytest.approx(15 / 40)
    assert share_of_budget(base, base, paired=True).value == 1
    assert share_of_budget(curve([1.0] * 5), base, paired=False).value == 0


def test_a_base_that_overfits_needs_all_of_what_it_needs() -> None:
    rising = curve([4.0, 2.0, 1.5, 1.6, 1.8], [4.0, 2.1, 1.4, 1.6, 1.8])
    found = share_of_budget(rising, rising, paired=True)
    assert (found.value, found.interval) == (1, Interval(1, 1))


def test_what_is_never_reached_has_no_share() -> None:
    base = curve([5.0, 4.0, 3.0, 2.5, 2.0], [5.0, 4.0, 3.0, 2.5, 2.1])
    assert share_of_budget(curve([5.0, 4.0, 3.5, 3.0, 2.9]), base, paired=False).value is None
    nearly = share_of_budget(curve([5.0, 4.0, 3.0, 2.5, 1.8], [5.0, 4.0, 3.0, 2.5, 2.2]), base, paired=True)
    assert nearly.value is not None
    assert nearly.interval is not None
    assert nearly.interval.high == math.inf


def test_one_seed_has_no_interval() -> None:
    base, group = curve([5.0, 4.0, 3.0, 2.5, 2.0]), curve([5.0, 3.0, 2.0, 1.5, 1.0])
    assert share_of_budget(group, base, paired=True).interval is None


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seeds", [2, 5])
def test_intervals_hold_the_truth_as_often_as_they_say(paired: bool, seeds: int) -> None:
    chance, steps, tables, held = np.random.default_rng(0), np.linspace(0, 100, 11), 400, 0
    for _ in range(tables):
        common, own = chance.normal(0, 0.01, (2, seeds, 1))
        base = 3 - steps / 100 + (common if paired else own) + chance.normal(0, 0.01, (seeds, 1))
        group = 3 - steps / 80 + common + chance.normal(0, 0.01, (seeds, 1))
        at = np.tile(steps, (seeds, 1))
        found = share_of_budget(Curve(at, group), Curve(at, base), paired=paired).interval
        assert found is not None
        held += found.low <= 0.8 <= found.high
    assert held / tables > CONFIDENCE - 3 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / tables)
