import math
from itertools import pairwise

import pytest

from ml_playground.config.registries import SCHEDULES


def rate(step: int, kind: str = "cosine", *, warmup_iters: int = 100, **options: object) -> float:
    known = SCHEDULES.load(kind).model_fields
    ends = {name: value for name, value in {"lr_decay_iters": 2000, "min_lr": 1e-4}.items() if name in known}
    schedule = SCHEDULES.load(kind).model_validate({"warmup_iters": warmup_iters} | ends | options)
    return float(schedule.learning_rate(step, peak=1e-3))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-3 / 101),
        (49, 50e-3 / 101),
        (99, 100e-3 / 101),
        (100, 1e-3),
        (1050, 5.5e-4),
        (575, 1e-4 + 0.5 * (1 + math.cos(math.pi / 4)) * 9e-4),
        (2000, 1e-4),
        (5000, 1e-4),
    ],
)
def test_the_rate_is_that_of_nanogpt(step: int, expected: float) -> None:
    assert rate(step) == pytest.approx(expected, rel=1e-12)


def test_the_rate_rises_in_the_warm_up_and_falls_after_it() -> None:
    rates = [rate(step) for step in range(2001)]
    assert all(a < b for a, b in pairwise(rates[:101]))
    assert all(a > b for a, b in pairwise(rates[100:]))


def test_a_warm_up_of_any_length_rises_evenly_and_ends_at_the_full_rate() -> None:
    for length in (1, 2, 99):
        rises = [rate(step, warmup_iters=length) for step in range(length + 1)]
        assert rises == pytest.approx([1e-3 * (step + 1) / (length + 1) for step in range(length)] + [1e-3])


def test_without_decay_the_rate_stays_after_the_warm_up() -> None:
    assert rate(50, "constant") == rate(50)
    assert [rate(step, "constant") for step in (100, 1000, 3000)] == [1e-3] * 3


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert rate(0, warmup_iters=0) == 1e-3


def test_a_decay_that_ends_with_the_warm_up_goes_straight_down() -> None:
    assert rate(99, lr_decay_iters=100) == rate(99)
    assert rate(100, lr_decay_iters=100) == 1e-4


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", {100: 1e-3, 1050: 1e-3, 1999: 1e-3, 5000: 1e-3}),
        ("linear", {100: 1e-3, 1050: 5.5e-4, 2000: 1e-4, 5000: 1e-4}),
        ("wsd", {100: 1e-3, 1600: 1e-3, 1800: 5.5e-4, 2000: 1e-4, 5000: 1e-4}),
        ("inverse_sqrt", {100: 1e-3, 403: 5e-4, 9999: 1.00499e-4, 20_000: 1e-4}),
    ],
)
def test_each_kind_has_its_curve(kind: str, expected: dict[int, float]) -> None:
    assert rate(49, kind=kind) == rate(49)
    assert {step: rate(step, kind=kind) for step in expected} == pytest.approx(expected, rel=1e-4)


def test_a_decay_longer_than_what_follows_the_warm_up_begins_with_it() -> None:
    assert rate(100, kind="wsd", decay_share=1.0) == 1e-3
    assert rate(1050, kind="wsd", decay_share=1.0) == rate(1050, kind="linear")
