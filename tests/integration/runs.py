"""What the tests of training share."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from ml_playground.run.checkpoint import Checkpoint, load
from tests.project import Project

AtStep = Callable[[int, Callable[[], None]], None]
"""Have something happen when optimiser step number N (from 0) begins."""


class Killed(BaseException):
    """Ends a training where it stands, with no chance to save."""


def kill() -> None:
    raise Killed


def weights(project: Project, name: str = "ckpt_last.pt") -> Checkpoint:
    return load(project.out / name)


def assert_same_bits(one: object, other: object) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            assert_same_bits(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        for left, right in zip(one, other, strict=True):
            assert_same_bits(left, right)
    else:
        assert one == other


def assert_same_state(one: Checkpoint, other: Checkpoint) -> None:
    assert_same_bits(
        [one.model, one.ema, one.optimizer, one.scaler, asdict(replace(one.progress, seconds=0.0))],
        [other.model, other.ema, other.optimizer, other.scaler, asdict(replace(other.progress, seconds=0.0))],
    )


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    times = {"seconds", "train/tokens_per_sec", "train/step_time_ms"}
    return [{key: value for key, value in row.items() if key not in times} for row in rows]


def trained_with_a_kill(project: Project, at_step: AtStep, patch: pytest.MonkeyPatch, step: int) -> Checkpoint:
    """Train twice, the second time with a kill before a step; both must end with the same bits, which are returned."""
    project.ok("train")
    whole = weights(project)
    project.out.rename(project.root / "whole")
    at_step(step, kill)
    with pytest.raises(Killed):
        project.run("train")
    patch.undo()
    project.ok("train")
    assert_same_state(weights(project), whole)
    return whole
