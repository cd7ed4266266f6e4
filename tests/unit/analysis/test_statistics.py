"""The statistics of a comparison, beside those of SciPy and statsmodels, and on made-up tables whose truth is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from ml_playground.analysis.statistics import (
    ALPHA,
    CONFIDENCE,
    POWER,
    Interval,
    Permutation,
    Verdict,
    detectable,
    difference,
    findings,
    holm,
    over_text,
    p_of_equivalence,
    permutation,
    pooled_sd,
    seeds_needed,
)

BASE = [1.9084, 1.9021, 1.9150, 1.9103, 1.9047]
ROPE = [1.7876, 1.7801, 1.7990, 1.7902, 1.7833]
EIGHT = [1.95, 1.90, 1.93, 1.89, 1.94, 1.92, 1.91, 1.96]
LOSSES = st.lists(st.floats(0.5, 5.0), min_size=3, max_size=6)


def ends(interval: Any) -> list[float]:
    return [interval.low, interval.high]


def test_pairs_are_compared_by_the_paired_t_test() -> None:
    ours, theirs = difference(ROPE, BASE, paired=True), stats.ttest_rel(ROPE, BASE)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.degrees == theirs.df
    assert ends(ours.interval) == pytest.approx(ends(theirs.confidence_interval(CONFIDENCE)))
    assert ours.correlation == pytest.approx(stats.pearsonr(ROPE, BASE).statistic)


def test_other_groups_are_compared_by_welchs_t_test() -> None:
    ours, theirs = difference(EIGHT, BASE, paired=False), stats.ttest_ind(EIGHT, BASE, equal_var=False)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.degrees == pytest.approx(theirs.df)
    assert ends(ours.interval) == pytest.approx(ends(theirs.confidence_interval(CONFIDENCE)))
    assert ours.correlation is None


@given(LOSSES, st.floats(0.01, 100))
def test_swapping_the_groups_changes_the_sign_and_another_unit_only_the_unit(losses: list[float], unit: float) -> None:
    other = [1.0, 2.0, 1.5, 1.25, 1.75, 1.1][: len(losses)]
    for paired in (True, False):
        there, back = difference(losses, other, paired=paired), difference(other, losses, paired=paired)
        assert back.mean == pytest.approx(-there.mean)
        assert back.p == pytest.approx(there.p)
        assert ends(back.interval) == pytest.approx([-end for end in reversed(ends(there.interval))])
        scaled = difference([unit * each for each in losses], [unit * each for each in other], paired=paired)
        assert scaled.mean == pytest.approx(unit * there.mean)
        assert scaled.p == pytest.approx(there.p)


def test_the_smallest_p_that_rearranging_can_reach_is_known() -> None:
    """Five pairs have 32 signs, five and five runs 252 groupings; in these data all of one side are smaller."""
    pairs, groups = (permutation(ROPE, BASE, paired=paired) for paired in (True, False))
    assert pairs == Permutation(p=2 / 32, floor=2 / 32, exact=True)
    assert groups == Permutation(p=2 / 252, floor=2 / 252, exact=True)


def test_many_runs_are_rearranged_at_random() -> None:
    chance = np.random.default_rng(1)
    group, base = chance.normal(0, 1, 20), chance.normal(0.5, 1, 20)
    found = permutation(list(group), list(base), paired=True)
    assert not found.exact
    assert found.p == pytest.approx(difference(list(group), list(base), paired=True).p, abs=0.02)


@pytest.mark.parametrize("paired", [True, False])
def test_runs_without_any_variation_are_certain(paired: bool) -> None:
    same, other = (difference([loss, loss], [1.0, 1.0], paired=paired) for loss in (1.0, 2.0))
    assert (same.mean, same.p, same.interval) == (0.0, 1.0, Interval(0.0, 0.0))
    assert (other.mean, other.p, other.interval) == (1.0, 0.0, Interval(1.0, 1.0))
    assert detectable(other) == 0
    assert seeds_needed(other, 0.1) == 2


@pytest.mark.parametrize(("group", "base"), [([1.0], [1.0, 2.0]), ([1.0, 2.0], []), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_what_cannot_be_compared_is_refused(group: list[float], base: list[float]) -> None:
    with pytest.raises(ValueError, match="runs"):
        difference(group, base, paired=True)


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_p_values_are_corrected_as_statsmodels_does(values: list[float]) -> None:
    assert not values or holm(values) == pytest.approx(multipletests(values, method="holm")[1])


@pytest.mark.parametrize("within", [0.001, 0.01, 0.03, 0.1, 0.15])
def test_equivalence_is_that_of_two_one_sided_tests(within: float) -> None:
    pairs = ttost_paired(np.array(ROPE), np.array(BASE), -within, within)[0]
    assert p_of_equivalence(difference(ROPE, BASE, paired=True), within) == pytest.approx(pairs)
    groups = ttost_ind(EIGHT, BASE, -within, within, usevar="unequal")[0]
    assert p_of_equivalence(difference(EIGHT, BASE, paired=False), within) == pytest.approx(groups)


NOISE = [1.9184, 1.8921, 1.9170, 1.9073, 1.9047]


@pytest.mark.parametrize(
    ("group", "within", "said"),
    [
        (ROPE, None, "better"),
        (ROPE, 0.001, "better"),
        ([loss + 0.1 for loss in BASE], None, "worse"),
        (NOISE, None, "cannot tell"),
        (NOISE, 0.05, "equivalent"),
    ],
)
def test_a_difference_is_put_into_words(group: list[float], within: float | None, said: str) -> None:
    (found,) = findings([difference(group, BASE, paired=True)], equivalence=within)
    assert found.verdict == said
    assert found.p == found.difference.p


def test_each_of_several_groups_has_a_larger_p() -> None:
    differences = [difference(group, BASE, paired=True) for group in (ROPE, NOISE, NOISE[::-1])]
    found = findings(differences, equivalence=0.05)
    assert [each.p for each in found] == holm([each.p for each in differences])
    assert [each.p_equivalent for each in found] == holm([p_of_equivalence(each, 0.05) for each in differences])


def test_what_can_be_detected_has_the_power_that_statsmodels_says() -> None:
    pairs = difference(ROPE, BASE, paired=True)
    sd = pairs.standard_error * np.sqrt(5)
    assert TTestPower().power(detectable(pairs) / sd, 5, ALPHA) == pytest.approx(POWER)
    groups = difference([1.0, 1.2, 1.1, 1.3], [2.0, 2.2, 2.1, 2.3], paired=False)  # as many that vary as much
    sd, _ = pooled_sd([[1.0, 1.2, 1.1, 1.3]])
    assert TTestIndPower().power(detectable(groups) / sd, 4, ALPHA) == pytest.approx(POWER)


@pytest.mark.parametrize("effect", [0.001, 0.003, 0.01, 0.1])
def test_so_many_seeds_are_needed_and_no_fewer(effect: float) -> None:
    found = difference(ROPE, BASE, paired=True)
    sd, needed = found.standard_error * np.sqrt(5), seeds_needed(found, effect)
    assert needed is not None
    assert TTestPower().power(effect / sd, needed, ALPHA) >= POWER
    assert needed == 2 or TTestPower().power(effect / sd, needed - 1, ALPHA) < POWER


def test_groups_that_vary_differently_need_as_many_seeds_as_the_sum_of_both_asks_for() -> None:
    calm, wild = [1.0, 1.1], [1.0, 3.0, 2.0, 0.5, 1.5, 2.5, 2.9, 0.1, 1.2, 2.0]
    found = difference(calm, wild, paired=False)
    needed = seeds_needed(found, 0.5)
    assert needed is not None
    variances = np.var(calm, ddof=1), np.var(wild, ddof=1)
    chance, seen = np.random.default_rng(0), 0
    for _ in range(2000):
        one, other = (chance.normal(mean, np.sqrt(v), needed) for mean, v in zip((0, 0.5), variances, strict=True))
        seen += difference(list(one), list(other), paired=False).p < ALPHA
    assert seen / 2000 == pytest.approx(POWER, abs=0.03)


def test_an_effect_that_would_take_millions_of_runs_has_no_number() -> None:
    found = difference(ROPE, BASE, paired=True)
    assert seeds_needed(found, 1e-9) is None
    nearly = 2.8 * found.standard_error * np.sqrt(5 / 800_000)
    assert 524_288 < (seeds_needed(found, nearly) or 0) < 10**6
    with pytest.raises(ValueError, match="greater than 0"):
        seeds_needed(found, 0.0)


def test_groups_share_one_standard_deviation() -> None:
    sd, degrees = pooled_sd([BASE, EIGHT, [1.0], []])
    variances = [np.var(BASE, ddof=1), np.var(EIGHT, ddof=1)]
    assert sd**2 == pytest.approx((4 * variances[0] + 7 * variances[1]) / 11)
    assert degrees == 11
    assert np.isnan(pooled_sd([[1.0]])[0])


def tables(count: int, arms: int, seeds: int, effect: float) -> np.ndarray:
    """Made-up losses (tables, arms + 1, seeds), the base first; runs of a seed have something in common."""
    chance = np.random.default_rng(0)
    common, own = chance.normal(0, 0.008, (count, 1, seeds)), chance.normal(0, 0.004, (count, arms + 1, seeds))
    losses: np.ndarray = 1.9 + common + own
    losses[:, 1:] += effect
    return losses


def verdicts(losses: np.ndarray, *, paired: bool, equivalence: float | None = None) -> list[list[Verdict]]:
    """What is found of each arm of each table."""
    return [
        [
            each.verdict
            for each in findings(
                [difference(list(arm), list(base), paired=paired) for arm in arms], equivalence=equivalence
            )
        ]
        for base, *arms in losses
    ]


def _at_most(share: float, of: int) -> float:
    """A share with three binomial errors."""
    return share + 3 * float(np.sqrt(share * (1 - share) / of))


@pytest.mark.parametrize("paired", [True, False])
def test_of_tables_without_an_effect_few_have_a_false_claim(paired: bool) -> None:
    """In at most 5% of 2,000 tables is any of four arms called better or worse."""
    found = verdicts(tables(2000, arms=4, seeds=5, effect=0.0), paired=paired)
    claims = sum(any(verdict != "cannot tell" for verdict in table) for table in found)
    assert claims / 2000 <= _at_most(ALPHA, 2000)


def test_of_arms_that_differ_by_just_what_matters_few_are_called_equivalent() -> None:
    found = verdicts(tables(400, arms=8, seeds=5, effect=0.01), paired=True, equivalence=0.01)
    assert sum("equivalent" in table for table in found) / 400 <= _at_most(ALPHA, 400)


def test_a_worse_arm_is_never_called_better() -> None:
    found = verdicts(tables(300, arms=1, seeds=5, effect=0.02), paired=True)
    assert {verdict for table in found for verdict in table} == {"worse"}


@pytest.mark.parametrize("paired", [True, False])
def test_a_true_effect_of_the_stated_size_is_found_with_the_stated_power(paired: bool) -> None:
    spread, seeds = np.array([1, -1, 1, -1, 1, -1]), 6
    own, common = 0.004 * np.sqrt(5 / 6), 0.008 * np.sqrt(5 / 6)  # so that the sample has the variance of the tables
    if paired:
        truth = difference(list(spread * own * np.sqrt(2)), [0.0] * seeds, paired=True)
    else:
        sd = np.hypot(own, common)
        truth = difference(list(spread * sd), list(spread * sd), paired=False)
    losses = tables(2000, arms=1, seeds=seeds, effect=detectable(truth))
    if not paired:
        losses[:, 0] = np.roll(losses[:, 0], 1, axis=0)  # no seed in common
    claims = sum(table != ["cannot tell"] for table in verdicts(losses, paired=paired))
    assert claims / 2000 == pytest.approx(POWER, abs=0.03)


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_hold_the_truth_as_often_as_they_say(paired: bool) -> None:
    held, losses = 0, tables(500, arms=1, seeds=5, effect=0.01)
    if not paired:
        losses[:, 0] = np.roll(losses[:, 0], 1, axis=0)
    for base, group in losses:
        found = difference(list(group), list(base), paired=paired).interval
        held += found.low <= 0.01 <= found.high
    assert held / 500 == pytest.approx(CONFIDENCE, abs=3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / 500))


@pytest.mark.parametrize(("windows", "alike", "least"), [(20, 0.0, 0.93), (400, 0.0, 0.93), (400, 0.9, 0.9)])
def test_intervals_over_texts_hold_the_truth_though_neighbouring_windows_are_alike(
    windows: int, alike: float, least: float
) -> None:
    held, texts, chance, predictions = 0, 600, np.random.default_rng(0), np.full(windows, 64.0)
    for _ in range(texts):
        noise = chance.normal(0, 1, windows)
        for index in range(1, windows):
            noise[index] = alike * noise[index - 1] + np.sqrt(1 - alike**2) * noise[index]
        found = over_text(100 + 0.5 + noise[None], np.full((1, windows), 100.0), predictions)
        assert found is not None
        held += found.low <= 0.5 / 64 <= found.high
    assert held / texts >= least


def test_seeds_are_averaged_and_windows_weigh_what_they_hold() -> None:
    predictions = np.array([64.0] * 24 + [8.0])
    group = np.stack([predictions * 0.9, predictions * 1.1])  # two runs; 1 nat per token on average
    assert ends(over_text(group, predictions[None] * 0.75, predictions)) == pytest.approx([0.25, 0.25])


def test_too_few_windows_say_nothing_of_another_text() -> None:
    assert over_text(np.zeros((1, 19)), np.zeros((1, 19)), np.ones(19)) is None
    with pytest.raises(ValueError, match="windows"):
        over_text(np.zeros((1, 30)), np.zeros((1, 31)), np.ones(30))
