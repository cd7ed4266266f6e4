"""How many threads compute, and how long idle ones keep a core busy."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ml_playground.cli import main
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


def test_the_number_of_threads_is_an_option_and_is_recorded(project: Project) -> None:
    project.configure({"train.runtime.threads": "2"})
    project.ok("train")
    assert torch.get_num_threads() == 2
    assert json.loads((project.out / "run.json").read_text())["starts"][-1]["threads"] == 2
    project.ok("sample")
    assert torch.get_num_threads() == 2
    project.configure({"sample.runtime.threads": "1"})
    project.ok("sample")
    assert torch.get_num_threads() == 1


def test_not_stated_it_is_pytorchs_own_whatever_was_before_in_this_process(project: Project) -> None:
    torch.set_num_threads(2)
    project.ok("train")
    assert torch.get_num_threads() == 1  # that the tests are run with
    assert json.loads((project.out / "run.json").read_text())["starts"][-1]["threads"] == 1


def test_a_run_that_is_resumed_with_other_threads_says_that_its_bits_can_differ(project: Project) -> None:
    project.ok("train")
    project.configure({"train.runtime.threads": "2", "train.runtime.max_iters": "8"})
    said = project.ok("train").out
    assert "threads: 2 now, 1 before: the weights can differ by rounding from an uninterrupted run's" in said
    assert "torch: " not in said
    project.configure({"train.runtime.max_iters": "9"})
    assert "can differ by rounding" not in project.ok("train").out


def test_so_does_one_that_is_resumed_with_another_pytorch(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.ok("train")
    monkeypatch.setattr("ml_playground.run.surroundings.version", lambda name: "9.9" if name == "torch" else "1")
    project.configure({"train.runtime.max_iters": "8"})
    assert "torch: 9.9 now, " in project.ok("train").out


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
    ],
)
def test_idle_threads_soon_sleep_unless_the_user_has_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, stated: dict[str, str], expected: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    assert main(["list"]) == 0
    assert os.environ.get("GOMP_SPINCOUNT") == expected
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch uses libgomp on Linux only")
def test_the_openmp_library_sees_it(project: Project) -> None:
    """It reads its settings when torch loads it, and shows them where it is asked to."""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-m", "ml_playground.cli", "train", "tiny"]
    said = subprocess.run(
        command,
        cwd=project.root,
        env={**environment, "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "GOMP_SPINCOUNT = '1000'" in said
