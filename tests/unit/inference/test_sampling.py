import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ml_playground.config.sections import SamplingConfig
from ml_playground.errors import CheckpointError
from ml_playground.inference.sampling import sample_next

LOGITS = torch.tensor([0.5, 2.0, -1.0, 1.0])  # probabilities about 0.13, 0.60, 0.03, 0.22


def draw(n: int = 1, logits: Tensor = LOGITS, context: list[int] | None = None, **options: float) -> Counter[int]:
    """How often each token comes in `n` draws, of which each has a row of its own."""
    sampling = SamplingConfig.model_validate({"temperature": 1.0, "top_k": 0} | options)
    generators = [torch.Generator().manual_seed(seed) for seed in range(n)]
    return Counter(sample_next(logits.expand(n, -1), torch.tensor([context or [0]] * n), sampling, generators).tolist())


def test_temperature_0_is_greedy() -> None:
    assert set(draw(50, temperature=0)) == {1}


@given(
    logits=st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=6),
    temperature=st.sampled_from([0.0, 1e-320, 5e-324, 1e-45, 1e-38, 0.8, 1e20, 1e30]),
    top_p=st.sampled_from([5e-324, 1e-45, 0.5, 1.0]),
    min_p=st.sampled_from([0.0, 5e-324, 0.5, 1.0]),
    top_k=st.sampled_from([0, 1, 2, 10**18]),
    penalty=st.sampled_from([0.001, 0.5, 1.0, 1.3, 1000.0]),
)
def test_any_setting_draws_some_token(
    logits: list[float], temperature: float, top_p: float, min_p: float, top_k: int, penalty: float
) -> None:
    options = {"temperature": temperature, "top_p": top_p, "min_p": min_p, "top_k": top_k}
    tensor = torch.tensor(logits).clamp(max=3e38)
    if not torch.isfinite(tensor.max()):
        tensor[0] = 1.0
    for context in ([0], list(range(len(logits)))):
        (token,) = draw(1, tensor, context, repetition_penalty=penalty, **options)
        assert 0 <= token < len(logits)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("values", [[math.nan, 1.0], [1.0, math.inf], [-math.inf, -math.inf]])
def test_logits_that_say_nothing_are_refused(values: list[float], temperature: float) -> None:
    with pytest.raises(CheckpointError, match="the model's logits are not finite"):
        draw(1, torch.tensor(values), temperature=temperature)


def test_a_tiny_temperature_is_greedy() -> None:
    assert set(draw(50, temperature=1e-320)) == {1}
    assert set(draw(400, temperature=1e30)) == {0, 1, 2, 3}


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


@pytest.mark.parametrize(("min_p", "kept"), [(0.01, {0, 1, 2, 3}), (0.1, {0, 1, 3}), (0.3, {1, 3}), (1.0, {1})])
def test_min_p_drops_what_is_far_less_likely_than_the_likeliest(min_p: float, kept: set[int]) -> None:
    assert set(draw(500, min_p=min_p)) == kept


def test_what_is_in_the_context_becomes_less_likely_by_the_penalty() -> None:
    penalised = torch.tensor([0.5, 1.0, -2.0, 1.0])  # logits of tokens 1 and 2 divided or multiplied by 2
    counts = draw(4000, context=[1, 2, 1], repetition_penalty=2.0)
    for token, probability in enumerate(torch.softmax(penalised, dim=-1).tolist()):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.integers(0, 40), st.floats(0.01, 1), st.integers(0, 99)
)
def test_any_choice_is_a_token_and_a_row_does_not_depend_on_the_others(
    values: list[float], top_k: int, top_p: float, seed: int
) -> None:
    sampling = SamplingConfig.model_validate({"top_k": top_k, "top_p": top_p})

    def choose(*seeds: int) -> list[int]:
        rows, context = torch.tensor([values] * len(seeds)), torch.zeros(len(seeds), 1, dtype=torch.int64)
        made: list[int] = sample_next(
            rows, context, sampling, [torch.Generator().manual_seed(each) for each in seeds]
        ).tolist()
        return made

    (alone,) = choose(seed)
    assert choose(seed + 1, seed)[1] == alone
    assert 0 <= alone < len(values)


@pytest.mark.parametrize("temperature", [1e-40, 1e-5, 1e30])
def test_any_temperature_draws(temperature: float) -> None:
    drawn = draw(20, temperature=temperature)
    assert set(drawn) == {1} if temperature < 1 else len(drawn) > 1
