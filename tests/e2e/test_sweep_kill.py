"""A sweep that is killed at random moments ends with the same bits as one that was never killed."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_playground.run.checkpoint import load
from ml_playground.run.opened import Run
from ml_playground.run.sweep import SweepRecord
from tests.integration.runs import assert_same_bits, without_times
from tests.project import Project

KILLS = 6
SWEEP = """\
extends = "config.toml"
[train.model]
dropout = 0.2
[train.runtime]
max_iters = 300
eval_interval = 50
log_interval = 10
[sweep]
seeds = [1, 2]
jobs = 2
horizons = [0.5, 1.0]
halving = 2
[sweep.arms]
wide = { train.model.n_embd = 32 }
sgd = { train.optim.kind = "sgd" }
"""


def start(project: Project) -> subprocess.Popen[str]:
    path = project.preset("s", SWEEP)
    command = [sys.executable, "-m", "ml_playground.cli", "sweep", str(project.folder), "--exp-config", str(path)]
    return subprocess.Popen(
        command,
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def swept(project: Project) -> str:
    process = start(project)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def wait_for(what: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not what.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(folder: Path) -> list[int]:
    """The processes that train in there, or did."""
    return [int(lock.read_text()) for lock in sorted(folder.rglob("train.lock")) if lock.read_text()]


def is_alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def state(project: Project) -> dict[str, object]:
    """Everything that a sweep ends with, but for times."""
    folder = project.folder / "out" / "s"
    record = SweepRecord.read(folder)
    assert record is not None
    found: dict[str, object] = {"dropped": [(each.arm, each.loss, each.best) for each in record.dropped]}
    for each in record.runs:
        run = Run.open(folder / each.folder)
        assert run.summary is not None
        assert run.summary.status == "finished", each.folder
        checkpoint = load(run.directory.last_checkpoint)
        found[each.folder] = checkpoint.model, checkpoint.optimizer["state"]
        found[f"{each.folder} rows"] = without_times([row.as_json() for row in run.metrics()])
    return found


def test_a_sweep_that_is_killed_at_random_moments_ends_with_the_same_bits(project: Project) -> None:
    project.ok("prepare")
    assert "10 runs (3 + 2 arms x 2 seeds)" in swept(project)
    expected = state(project)
    shutil.rmtree(project.folder / "out")
    chance, folder = random.Random(14), project.folder / "out" / "s"
    for _ in range(KILLS):
        process = start(project)
        wait_for(folder / "sweep.json", process)
        time.sleep(chance.uniform(0, 2))
        workers = workers_of(folder)
        victim = chance.choice(["sweep", "everything"])
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL) if victim == "sweep" else os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        deadline = time.monotonic() + 30
        while any(map(is_alive, workers)):
            assert time.monotonic() < deadline, "a worker has outlived its sweep"
            time.sleep(0.02)
    swept(project)
    assert_same_bits(state(project), expected)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_saves_every_run_and_says_how_to_resume(project: Project, signum: signal.Signals) -> None:
    project.ok("prepare")
    process = start(project)
    folder = project.folder / "out" / "s"
    wait_for(folder / "base" / "horizon-0.5" / "seed-1" / "ckpt_last.pt", process)
    os.killpg(process.pid, signum) if signum == signal.SIGINT else os.kill(process.pid, signum)  # as a terminal does
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, said
    assert re.search(rf"stopped by {signum.name}: \d+ of 10 runs are done; the same command resumes from here", said)
    assert "Traceback" not in said
    for record in folder.rglob("run.json"):
        summary = Run.open(record.parent).summary
        assert summary is None or summary.status in ("finished", "stopped")
