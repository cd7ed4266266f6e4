"""Trainings in processes of their own, forked from a server that has imported torch once."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from ml_playground.cli import main
from tests.project import Project

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["ml_playground.commands.train"])


def start_training(project: Project) -> ForkServerProcess:
    """Start `train` in a new process."""
    process = _CONTEXT.Process(target=_train, args=(project.folder, project.root))
    process.start()
    return process


def finish(process: ForkServerProcess) -> int:
    """The exit status of a process that ends by itself; negative is the signal that killed it."""
    process.join(60)
    assert process.exitcode is not None, "the process does not end"
    return process.exitcode


def wait_until(condition: Callable[[], bool], process: ForkServerProcess) -> None:
    """Wait for something that the process does."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.is_alive(), "the process has ended"
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def _train(folder: Path, root: Path) -> None:
    os.chdir(root)
    log = (root / "train.log").open("a")
    os.dup2(log.fileno(), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    sys.exit(main(["train", str(folder)]))
