"""A sweep that is killed at random moments ends with the same bits as one that was never killed."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from ml_playground.run.checkpoint import load
from ml_playground.run.opened import Run
from ml_playground.run.sweep import SweepRecord
from tests.e2e.sweeps import start, swept, wait_for
from tests.faults.farm import ALL
from tests.integration.runs import assert_same_bits, without_times
from tests.project import Project

KILLS = 20 if ALL else 6


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
