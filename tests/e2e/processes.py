"""Trainings in processes of their own, forked from a server that has imported torch once."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO, Any

import torch

from ml_playground.cli import main
from tests.project import Project

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["ml_playground.commands.train"])


def start_training(project: Project, *, killed_while_writing: str = "") -> ForkServerProcess:
    """Start `train` in a new process.

    Args:
        project: what to train.
        killed_while_writing: `<name>:<n>` ends the process by SIGKILL in the middle of its n-th write of that file.
    """
    process = _CONTEXT.Process(target=_train, args=(project.folder, project.root, killed_while_writing))
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


def _train(folder: Path, root: Path, killed_while_writing: str) -> None:
    os.chdir(root)
    log = (root / "train.log").open("a")
    os.dup2(log.fileno(), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    if killed_while_writing:
        name, number = killed_while_writing.split(":")
        torch.save = _deadly_save(torch.save, f"{name}.tmp", int(number))
    sys.exit(main(["train", str(folder)]))


def _deadly_save(save: Callable[..., None], name: str, number: int) -> Callable[..., None]:
    """torch.save, but the n-th time that it writes the file `name`, half is written and the process is gone."""
    seen = 0

    def wrapper(values: Any, sink: Any) -> None:
        nonlocal seen
        file: IO[bytes] = sink.file
        seen += Path(file.name).name == name
        save(values, sink)
        if seen == number and Path(file.name).name == name:
            file.flush()
            os.ftruncate(file.fileno(), file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    return wrapper
