from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml_playground.inference.sampling import pick

LOGITS = torch.tensor([0.5, 2.0, -1.0, 1.0])  # probabilities about 0.13, 0.60, 0.03, 0.22


def draw(n: int = 1, **options: float) -> Counter[int]:
    settings = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} | options
    generator = torch.Generator().manual_seed(0)
    return Counter(
        pick(
            LOGITS,
            temperature=settings["temperature"],
            top_k=int(settings["top_k"]),
            top_p=settings["top_p"],
            generator=generator,
        )
        for _ in range(n)
    )


def test_temperature_0_is_greedy() -> None:
    assert set(draw(50, temperature=0)) == {1}


def test_tokens_come_as_often_as_their_probability_says() -> None:
    counts = draw(4000)
    for token, probability in enumerate(torch.softmax(LOGITS, dim=-1).tolist()):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


def test_temperature_divides_the_logits() -> None:
    counts = draw(4000, temperature=2.0)
    for token, probability in enumerate(torch.softmax(LOGITS / 2, dim=-1).tolist()):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, {1}), (2, {1, 3}), (3, {0, 1, 3}), (4, {0, 1, 2, 3}), (9, {0, 1, 2, 3})]
)
def test_top_k_keeps_the_likeliest(top_k: int, kept: set[int]) -> None:
    assert set(draw(500, top_k=top_k)) == kept


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, {1}), (0.59, {1}), (0.7, {1, 3}), (0.9, {0, 1, 3}), (1.0, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: set[int]) -> None:
    assert set(draw(500, top_p=top_p)) == kept


def test_top_p_is_measured_within_what_top_k_kept() -> None:
    assert set(draw(500, top_k=2, top_p=0.72)) == {1}  # 0.60 of 0.82 is 0.73


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.integers(0, 40), st.floats(0.01, 1), st.integers(0, 99)
)
def test_any_choice_is_a_token_and_the_same_seed_makes_the_same(
    values: list[float], top_k: int, top_p: float, seed: int
) -> None:
    def choose() -> int:
        generator = torch.Generator().manual_seed(seed)
        return pick(torch.tensor(values), temperature=0.7, top_k=top_k, top_p=top_p, generator=generator)

    assert choose() == choose()
    assert 0 <= choose() < len(values)


@pytest.mark.parametrize("temperature", [1e-40, 1e-5, 1e30])
def test_any_temperature_draws(temperature: float) -> None:
    drawn = draw(20, temperature=temperature)
    assert set(drawn) == {1} if temperature < 1 else len(drawn) > 1
