"""Losses and gradients that are not finite."""

import json
import math
import os
import signal
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional

from ml_playground.config.load import load_config
from ml_playground.data.batches import Batches
from ml_playground.data.store import open_dataset
from tests.integration.runs import (
    AtStep,
    weights,
)
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


@pytest.mark.parametrize("where", ["loss", "gradient", "validation"])
def test_a_loss_that_is_not_finite_stops_at_once_and_keeps_the_last_good_checkpoint(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep, where: str
) -> None:
    at_step(3, lambda: spoil(monkeypatch, where))
    outcome = project.run("train")
    assert outcome.code == 2
    assert {
        "loss": "step 4: the loss is nan (batch 3, windows from tokens ",
        "gradient": "step 4: a gradient is not finite (batch 3, windows from tokens ",
        "validation": "step 4: the validation loss is nan.",
    }[where] in outcome.err
    assert "The last good checkpoint is kept" in outcome.err
    assert weights(project).progress.step == 2
    assert all(values.isfinite().all() for values in weights(project).model.values())


def spoil(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    original = functional.cross_entropy

    def bad_loss(*args: Any, **options: Any) -> torch.Tensor:
        loss = original(*args, **options)
        if (options["reduction"] == "none") != (where == "validation"):
            return loss
        # A root has an infinite slope at 0: that leaves the loss as it is, and makes its gradient infinite.
        return loss + (loss - loss.detach()).sqrt() if where == "gradient" else loss * math.nan

    monkeypatch.setattr(functional, "cross_entropy", bad_loss)


def test_a_loss_that_was_not_looked_at_for_many_steps_still_names_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep
) -> None:
    """Losses stay on the device until they are logged, so that a GPU does not wait for anybody."""
    project.configure({"train.runtime.log_interval": "100", "train.runtime.eval_interval": "100"})
    at_step(3, lambda: spoil(monkeypatch, "loss"))
    assert "step 4: the loss is nan (batch 3, " in project.run("train").err
    assert weights(project).progress.step == 0


def test_a_learning_rate_far_too_high_is_told_by_name(project: Project) -> None:
    project.configure({"train.optim.learning_rate": "1e30", "train.schedule.warmup_iters": "0"})
    outcome = project.run("train")
    assert outcome.code == 2
    assert "such as a lower [train.optim] learning_rate" in outcome.err


def test_the_batch_that_is_named_is_the_one(project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep) -> None:
    at_step(3, lambda: spoil(monkeypatch, "loss"))
    config = load_config(project.config, name="tiny", folder=project.folder)
    data = config.train.data.model_dump(exclude={"dataset_dir"})
    offsets = Batches(open_dataset(project.datasets, config.prepare).train, seed=1337, **data).offsets(3)
    assert f"windows from tokens {', '.join(map(str, offsets))} of" in project.run("train").err


def test_weights_that_were_saved_before_they_showed_to_be_bad_make_way_for_the_last_good_ones(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep
) -> None:
    project.configure({"train.runtime.ckpt_time_interval_minutes": "1e-9"})
    at_step(3, lambda: spoil(monkeypatch, "loss"))
    assert project.run("train").code == 2
    assert weights(project).progress.step == 2
    assert weights(project, "ckpt_diverged-1.pt").progress.step == 3


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_a_loss_scale_that_is_too_high_skips_steps_and_sinks(
    project: Project, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(torch, "GradScaler", partial(torch.GradScaler, init_scale=2.0**30))
    project.configure(
        {"train.runtime.dtype": '"float16"', "train.runtime.max_iters": "40", "train.optim.kind": f'"{kind}"'}
    )
    project.ok("train")
    last = weights(project)
    assert 1 < last.scaler["scale"] < 2**30
    assert last.progress.val_loss < project.metrics()[0]["val/loss"]


def test_gradients_that_no_loss_scale_saves_stop_the_training(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep
) -> None:
    at_step(3, lambda: spoil(monkeypatch, "gradient"))
    project.configure({"train.runtime.dtype": '"float16"', "train.runtime.max_iters": "40"})
    outcome = project.run("train")
    assert outcome.code == 2
    assert "a gradient is not finite" in outcome.err


@pytest.mark.parametrize("cause", ["loss", "gradient", "validation"])
def test_weights_that_were_good_are_not_blamed_for_a_first_step_that_is_not_finite(
    project: Project, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """Such as after an edit of a model file, or with another number format."""
    project.ok("train")
    files = sorted(project.out.glob("*.pt"))
    before = [path.read_bytes() for path in files]
    project.configure({"train.runtime.max_iters": "12"})
    if cause == "validation":
        project.configure({"train.runtime.eval_interval": "1", "train.runtime.eval_iters": "1"})
    spoil(monkeypatch, cause)
    for _ in range(3):
        outcome = project.run("train")
        assert outcome.code == 2
        assert "Traceback" not in outcome.err
        assert sorted(project.out.glob("*.pt")) == files
        assert [path.read_bytes() for path in files] == before
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    project.ok("train")
    assert weights(project).progress.step == 12


def test_a_missing_last_checkpoint_costs_nothing_at_a_start_that_fails(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.ok("train")
    previous = (project.out / "ckpt_prev.pt").read_bytes()
    (project.out / "ckpt_last.pt").unlink()
    spoil(monkeypatch, "validation")
    assert project.run("train").code == 2
    assert (project.out / "ckpt_prev.pt").read_bytes() == previous
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    assert "ckpt_prev.pt of an earlier run is now ckpt_prev-1.pt" in project.ok("train").out
    assert (project.out / "ckpt_prev-1.pt").read_bytes() == previous


@pytest.mark.parametrize("where", ["commands.train.build_trainer", "run.sinks.tensorboard.TensorBoard"])
def test_a_start_that_crashes_before_its_first_step_is_not_called_finished(
    project: Project, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    project.ok("train")

    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"ml_playground.{where}", crash)
    with pytest.raises(ZeroDivisionError):
        project.run("train")
    summary = json.loads((project.out / "summary.json").read_text())
    assert (summary["status"], summary["step"]) == ("failed", 6)


@pytest.mark.parametrize("status", ["failed", "diverged", "stopped", "finished", "running"])
def test_the_summary_says_how_the_last_start_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep, status: str
) -> None:
    project.ok("train")
    project.configure({"train.runtime.max_iters": "12"})

    def happen() -> None:
        if status == "failed":
            raise ZeroDivisionError
        if status == "running":
            assert json.loads((project.out / "summary.json").read_text())["status"] == "running"
        if status == "stopped":
            os.kill(os.getpid(), signal.SIGTERM)
        if status == "diverged":
            spoil(monkeypatch, "loss")

    at_step(7, happen)
    with suppress(ZeroDivisionError):
        project.run("train")
    said = json.loads((project.out / "summary.json").read_text())["status"]
    assert said == ("finished" if status == "running" else status)
