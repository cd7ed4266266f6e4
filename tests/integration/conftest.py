"""Fixtures of the tests of training."""

import multiprocessing
from collections.abc import Callable

import pytest

from ml_playground.run.sinks import Telemetry
from ml_playground.training.trainer import Trainer
from tests.integration.exports import PROTOCOL
from tests.integration.runs import AtStep
from tests.project import Project


@pytest.fixture
def prepared(project: Project) -> None:
    """The tiny project with its data prepared."""
    project.ok("prepare")


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep's workers come from a server that has imported torch once; tests/e2e has them start as they always do."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["ml_playground.commands.train"])
    monkeypatch.setattr("ml_playground.commands.sweep.workers._SPAWN", server)


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> AtStep:
    """See `AtStep`."""

    def arrange(step: int, event: Callable[[], None]) -> None:
        original = Trainer.step

        def with_event(self: Trainer, telemetry: Telemetry) -> None:
            if self.progress.step == step:
                event()
            original(self, telemetry)

        monkeypatch.setattr(Trainer, "step", with_event)

    return arrange


@pytest.fixture
def german(project: Project) -> Project:
    """The tiny project on text with umlauts."""
    project.text.write_text(PROTOCOL * 40, encoding="utf-8")
    project.configure({"train.runtime.max_iters": "20", "train.optim.learning_rate": "0.03"})
    return project


@pytest.fixture
def qwen(project: Project) -> Project:
    """The tiny project, turned to a Qwen2 that is to be fine-tuned on speeches."""
    from tests.integration.finetuning import fine_tuning  # whose libraries the other tests need not wait for

    return fine_tuning(project, "qwen2")
