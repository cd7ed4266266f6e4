"""Intervals by resampling, on numbers whose truth is known."""

import math

import numpy as np
import pytest

from ml_playground.analysis.bootstrap import Curve, Floats, of_another_text, share_of_budget
from ml_playground.analysis.statistics import CONFIDENCE, Interval

STEPS = np.array([0.0, 10.0, 20.0, 30.0, 40.0])


def windows(chance: np.random.Generator, count: int, alike: float) -> Floats:
    """What two groups differ by in each window of a text, where neighbours are `alike` (0 to 1)."""
    noise = chance.normal(0, 1, count)
    for index in range(1, count):
        noise[index] = alike * noise[index - 1] + math.sqrt(1 - alike**2) * noise[index]
    return noise


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Blocks of a given length see only part of what neighbours have in common, so that it is a little too short."""
    held, texts, predictions = 0, 200, np.full(400, 64.0)
    for text in range(texts):
        each = windows(np.random.default_rng(text), 400, alike=0.3) + 0.5  # nats per window
        found = of_another_text(each[None] + 100.0, np.full((1, 400), 100.0), predictions)
        held += found.low <= 0.5 / 64 <= found.high
    assert CONFIDENCE - 0.06 < held / texts <= 1


def test_blocks_widen_the_interval_where_neighbours_are_alike() -> None:
    each = windows(np.random.default_rng(0), 1000, alike=0.9)[None]
    none, single, blocks = np.zeros((1, 1000)), Interval(0, 0), Interval(0, 0)
    single, blocks = (of_another_text(each, none, np.ones(1000), block=size) for size in (1, 30))
    assert blocks.high - blocks.low > 2 * (single.high - single.low)


def test_seeds_are_averaged_and_windows_weigh_what_they_hold() -> None:
    predictions = np.array([64.0, 64.0, 8.0])
    group = np.stack([predictions * 0.9, predictions * 1.1])  # two runs; 1 nat per token on average
    found = of_another_text(group, predictions[None] * 0.75, predictions)
    assert [found.low, found.high] == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize(("group", "windows"), [((1, 3), 4), ((1, 1), 1)])
def test_windows_of_another_text_are_refused(group: tuple[int, int], windows: int) -> None:
    with pytest.raises(ValueError, match="windows"):
        of_another_text(np.zeros(group), np.zeros((1, windows)), np.ones(windows))


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


def test_what_is_never_reached_has_no_share() -> None:
    base = curve([5.0, 4.0, 3.0, 2.5, 2.0])
    found = share_of_budget(curve([5.0, 4.0, 3.5, 3.0, 2.9]), base, paired=False)
    assert (found.value, found.interval.high) == (None, math.inf)


def test_seeds_that_differ_make_an_interval() -> None:
    base = curve(*([5.0, 4.0, 3.0, 2.5, end] for end in (1.9, 2.0, 2.1)))
    group = curve([5.0, 3.0, 2.0, 1.5, 1.0], [5.0, 3.2, 2.2, 1.6, 1.0], [5.0, 2.8, 1.8, 1.4, 1.0])
    found = share_of_budget(group, base, paired=True)
    assert found.value is not None
    assert found.interval.low < found.value < found.interval.high < 1
