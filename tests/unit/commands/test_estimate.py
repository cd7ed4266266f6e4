from dataclasses import replace
from typing import Any

import pytest

from ml_playground.commands.estimate import Estimate, estimate_warnings
from ml_playground.config.registries import SCHEDULES

ESTIMATE = Estimate(
    all_parameters=1000,
    parameters=1000,
    flops_per_token=6000,
    model_bytes=16_000,
    peak_bytes=3 * 2**20,
    tokens_per_step=100,
    train_tokens=10_000,
    steps=1000,
    evaluations=5,
    step_seconds=0.5,
    evaluation_seconds=20.0,
)


def warned(estimate: Estimate = ESTIMATE, **schedule: Any) -> list[str]:
    config = SCHEDULES.load("cosine").model_validate({"lr_decay_iters": 1000} | schedule)
    return list(estimate_warnings(estimate, config, max_iters=estimate.steps))


def test_epochs_time_and_the_share_of_evaluation_follow() -> None:
    assert ESTIMATE.epochs == 10
    assert ESTIMATE.seconds == 600
    assert ESTIMATE.evaluation_share == pytest.approx(1 / 6)
    assert "time        10 min 0 s, of which 17% for 5 evaluations of 20.0 s" in list(ESTIMATE.lines())
    assert "time        2 h 46 min" in next(
        line for line in replace(ESTIMATE, evaluations=475).lines() if line.startswith("time")
    )


def test_an_estimate_that_fits_is_not_warned_of() -> None:
    assert warned() == []
    assert list(estimate_warnings(ESTIMATE, SCHEDULES.load("constant")(), max_iters=ESTIMATE.steps)) == []


@pytest.mark.parametrize(
    ("changes", "schedule", "warning"),
    [
        ({}, {"lr_decay_iters": 900}, "the last 100 steps run at min_lr = 0."),
        ({}, {"lr_decay_iters": 1100}, "lr_decay_iters = 1,100: training ends earlier, at 1,000."),
        ({}, {"warmup_iters": 501}, "warmup_iters = 501 is more than half of the training."),
        ({"train_tokens": 4000}, {}, "The model sees each token 25 times."),
        ({"evaluations": 12}, {}, "Evaluations take 32% of the time."),
    ],
)
def test_what_is_likely_not_meant_is_warned_of(changes: dict[str, Any], schedule: dict[str, Any], warning: str) -> None:
    (said,) = warned(replace(ESTIMATE, **changes), **schedule)
    assert warning in said
