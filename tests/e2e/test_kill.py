"""A training that is killed at any moment and started again ends with the same bits as one that was never killed."""

import os
import shutil
import signal

import pytest
import torch

from ml_playground.run.checkpoint import load
from tests.e2e.processes import finish, start_training, wait_until
from tests.project import Project

STEPS = 300


@pytest.fixture
def project(project: Project) -> Project:
    project.configure(
        {
            "train.model.dropout": "0.2",
            "train.runtime.max_iters": str(STEPS),
            "train.runtime.eval_interval": "20",
            "train.runtime.ema_decay": "0.9",
        }
    )
    project.ok("prepare")
    return project


def final_state(project: Project) -> dict[str, torch.Tensor]:
    checkpoint = load(project.out / "ckpt_last.pt")
    assert checkpoint.progress.step == STEPS
    moments = {
        f"{number} {name}": value
        for number, state in checkpoint.optimizer["state"].items()
        for name, value in state.items()
    }
    return checkpoint.model | moments | {f"ema {name}": value for name, value in (checkpoint.ema or {}).items()}


def train_to_the_end(project: Project) -> dict[str, torch.Tensor]:
    assert finish(start_training(project)) == 0, (project.root / "train.log").read_text()
    return final_state(project)


def assert_same_bits(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert state.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(state[name], values), name


def rows_reported(project: Project) -> int:
    path = project.out / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_kill_9_at_any_moment_costs_no_bit(project: Project) -> None:
    expected = train_to_the_end(project)
    losses = [row.get("train/loss", row.get("val/loss")) for row in project.metrics()]
    shutil.rmtree(project.out)
    for rows in (3, 70, 200):
        process = start_training(project)
        wait_until(lambda: rows_reported(project) >= rows, process)  # noqa: B023 -- used within this turn only
        process.kill()
        assert finish(process) == -signal.SIGKILL
    assert_same_bits(train_to_the_end(project), expected)
    assert [row.get("train/loss", row.get("val/loss")) for row in project.metrics()] == losses


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_saves_and_says_how_to_go_on(project: Project, signum: signal.Signals) -> None:
    expected = train_to_the_end(project)
    shutil.rmtree(project.out)
    process = start_training(project)
    wait_until(lambda: rows_reported(project) >= 10, process)
    assert process.pid is not None
    os.kill(process.pid, signum)
    assert finish(process) == 128 + signum
    assert f"stopped by {signum.name}; the same command resumes from here" in (project.root / "train.log").read_text()
    step = load(project.out / "ckpt_last.pt").progress.step
    assert 0 < step < STEPS
    assert_same_bits(train_to_the_end(project), expected)


def test_a_second_trainer_is_refused_while_the_first_lives_and_no_longer(project: Project) -> None:
    project.configure({"train.runtime.max_iters": "1000000"})
    first = start_training(project)
    wait_until(lambda: rows_reported(project) >= 3, first)
    second = project.run("train")
    assert second.code == 2
    assert f"another training (process {first.pid}) is writing here" in second.err
    assert first.is_alive()
    first.kill()
    finish(first)
    project.configure({"train.runtime.max_iters": "2"})
    project.ok("train")
