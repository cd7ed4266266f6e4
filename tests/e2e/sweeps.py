"""Sweeps in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.project import Project

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
