"""Commands in processes of their own, forked from a server that has imported torch once."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from ml_playground.cli import main
from tests.project import Project

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["ml_playground.commands.train"])


def start(arguments: Sequence[str], folder: Path, log: Path, *, installed: Path | None = None) -> ForkServerProcess:
    """Start a command in a new process.

    Args:
        arguments: of the command line.
        folder: where it runs.
        log: the file that what it prints is appended to.
        installed: a folder of packages that only this process finds.
    """
    process = _CONTEXT.Process(target=_run, args=(arguments, folder, log, installed))
    process.start()
    return process


def start_training(project: Project) -> ForkServerProcess:
    """Start `train` in a new process."""
    return start(["train", str(project.folder)], project.root, project.root / "train.log")


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


def _run(arguments: Sequence[str], folder: Path, log: Path, installed: Path | None) -> None:
    os.chdir(folder)
    printed = log.open("a")
    os.dup2(printed.fileno(), sys.stdout.fileno())
    os.dup2(printed.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    if installed is not None:
        sys.path.insert(0, str(installed))
    sys.exit(main(list(arguments)))
