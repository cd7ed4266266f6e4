"""Fits find the numbers that made-up losses were made from, and say where they know nothing."""

import math

import numpy as np
import pytest

from ml_playground.analysis.fits import Setting, loss_law, parabola
from ml_playground.errors import PlaygroundError


def rates(*values: float, best: float = 3e-3, noise: float = 0.0) -> list[Setting]:
    chance = np.random.default_rng(0)
    return [
        Setting(v, [1.8 + 0.1 * math.log(v / best) ** 2 + chance.normal(0, noise) for _ in range(5)]) for v in values
    ]


def sizes(
    *values: float, floor: float = 1.5, scale: float = 40.0, exponent: float = 0.3, noise: float = 0.0
) -> list[Setting]:
    chance = np.random.default_rng(1)
    return [Setting(n, [floor + scale * n**-exponent + chance.normal(0, noise) for _ in range(3)]) for n in values]


def test_parabola_finds_the_optimum() -> None:
    fitted = parabola(rates(3e-2, 1e-3, 3e-4, 1e-2, 5e-3))  # in any order
    assert fitted is not None
    assert fitted.optimum == pytest.approx(3e-3)
    assert fitted.at(np.array([3e-3]))[0] == pytest.approx(1.8)
    assert not fitted.on_edge


def test_parabola_looks_only_around_the_best_setting() -> None:
    far = Setting(10.0, [50.0])
    fitted = parabola([*rates(3e-4, 1e-3, 3e-3, 1e-2, 3e-2), far])
    assert fitted is not None
    assert fitted.optimum == pytest.approx(3e-3)
    assert fitted.between.high == 3e-2


@pytest.mark.parametrize("values", [(5e-3, 1e-2, 2e-2, 4e-2), (1e-4, 3e-4, 1e-3)])
def test_an_optimum_outside_the_settings_is_flagged(values: tuple[float, ...]) -> None:
    fitted = parabola(rates(*values))
    assert fitted is not None
    assert fitted.on_edge
    assert fitted.optimum is None


def test_losses_without_a_lowest_point_are_flagged() -> None:
    fitted = parabola([Setting(1.0, [2.0]), Setting(2.0, [2.1]), Setting(4.0, [2.0])])
    assert fitted is not None
    assert fitted.on_edge
    assert fitted.optimum is None


def test_two_settings_make_no_parabola() -> None:
    assert parabola(rates(1e-3, 1e-2)) is None


def test_law_finds_its_numbers() -> None:
    law = loss_law(sizes(1e5, 3e5, 1e6, 3e6, 1e7))
    assert (law.floor, law.scale, law.exponent) == pytest.approx((1.5, 40.0, 0.3), rel=1e-3)
    assert law.at(2e7) == pytest.approx(1.5 + 40 * 2e7**-0.3, abs=1e-5)


def test_the_bands_of_a_law_hold_the_truth() -> None:
    law = loss_law(sizes(1e5, 3e5, 1e6, 3e6, 1e7, noise=0.01))
    exponent = law.exponent_interval()
    assert exponent.low < 0.3 < exponent.high
    for size in (1e5, 1e6, 1e7):
        band = law.interval(size)
        assert band.low < 1.5 + 40 * size**-0.3 < band.high
        assert band.low < law.at(size) < band.high
    near, far = law.interval(1e6), law.interval(4e7)
    assert far.high - far.low > near.high - near.low


@pytest.mark.parametrize("size", [4.01e6, 0.99 * 1e4 / 4])
def test_law_refuses_sizes_far_from_those_measured(size: float) -> None:
    law = loss_law(sizes(1e4, 1e5, 3e5, 1e6))
    law.at(4e6)
    law.at(1e4 / 4)
    for ask in (law.at, law.interval):
        with pytest.raises(PlaygroundError, match=r"more than 4 times away .*1e\+04 to 1e\+06.*train a size nearer"):
            ask(size)


def test_law_refuses_three_sizes() -> None:
    with pytest.raises(PlaygroundError, match="needs 4 sizes, and there are 3: train more"):
        loss_law([*sizes(1e5, 1e6, 1e7), *sizes(1e5)])
