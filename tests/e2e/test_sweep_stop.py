"""A sweep that is stopped politely saves every run."""

import os
import re
import signal

from ml_playground.run.opened import Run
from tests.e2e.sweeps import start, wait_for
from tests.project import Project


def test_a_polite_stop_saves_every_run_and_says_how_to_resume(project: Project) -> None:
    project.ok("prepare")
    process = start(project)
    folder = project.folder / "out" / "s"
    wait_for(folder / "base" / "horizon-0.5" / "seed-1" / "ckpt_last.pt", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, said
    assert re.search(r"stopped by SIGINT: \d+ of 10 runs are done; the same command resumes from here", said)
    assert "Traceback" not in said
    for record in folder.rglob("run.json"):
        summary = Run.open(record.parent).summary
        assert summary is None or summary.status in ("finished", "stopped")
