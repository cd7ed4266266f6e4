"""Processes that stay warm: each imports torch once and then does one task after the other.

A worker that is killed, such as by a system short of memory, costs its task only: another takes its place. Workers end
with the process that started them, however that ends. They ignore Ctrl-C, which a terminal sends to all processes;
`stop` asks them to end, and a training among them saves first.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ml_playground.errors import PlaygroundError
from ml_playground.run.sweep import Measured
from ml_playground.training.signals import StopSignals

_REFRESH = 0.25  # seconds
_SPAWN = multiprocessing.get_context("spawn")  # CUDA does not survive a fork, nor do torch's threads


@dataclass(frozen=True)
class Task:
    """What a worker is to do.

    Attributes:
        what: `train` to the end, or `measure` a few steps.
        config: a complete TOML file.
        experiment: the experiment's name.
        home: the experiment's folder.
        log: the file that gets all output.
    """

    what: Literal["train", "measure"]
    config: Path
    experiment: str
    home: Path
    log: Path


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        status: `refused` is what would end every other task too, such as a full disk.
        message: what went wrong.
        measured: of a task that measures.
    """

    status: Literal["finished", "diverged", "failed", "stopped", "refused"]
    message: str = ""
    measured: Measured | None = None


class Worker:
    """A process that does tasks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.task: Task | None = None
        self.is_ready = False
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs, dict(environment)))
        self.process.start()
        theirs.close()

    def successor(self) -> "Worker":
        """A new one in its place."""
        self.connection.close()
        return Worker(self._environment)

    def start(self, task: Task) -> None:
        """Have it do something."""
        self.task = task
        try:
            self.connection.send(task)
        except OSError:  # it has been killed, which `Workers` finds out
            return

    def outcome(self) -> Outcome | None:
        """How its task ended, None if it reports something else. Waits for neither."""
        try:
            while self.connection.poll():
                report: Outcome | None = self.connection.recv()
                if report is not None:
                    return report
                self.is_ready = True
        except (EOFError, OSError):
            self.process.join()
        if self.process.is_alive():
            return None
        code = self.process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return Outcome("failed", f"the worker process was {how}" if code < 0 else f"the worker process {how}")


class Workers:
    """A number of workers, which end with the block."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        """Have one in each of these environments: variables that are set before torch is imported. None starts yet."""
        self._environments = list(environments)
        self._all: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._all:
            if kind is KeyboardInterrupt:  # a second Ctrl-C
                worker.process.kill()
            else:
                worker.process.terminate()
        for worker in self._all:
            worker.process.join()
            worker.connection.close()

    def do(
        self,
        tasks: Sequence[Task],
        signals: StopSignals,
        begin: Callable[[Task], None] = lambda _: None,
        show: Callable[[list[Task]], None] = lambda _: None,
    ) -> Iterator[tuple[Task, Outcome]]:
        """Do tasks, the first ones first, and give each with how it ended.

        A signal ends all that has begun, whose outcomes still come, and no more begins.

        Args:
            tasks: what to do.
            signals: that were received.
            begin: called when a task begins.
            show: called now and then with the tasks that are being done.

        Raises:
            PlaygroundError: something is in the way of all tasks.
        """
        waiting = deque(tasks)
        missing = self._environments[len(self._all) : len(tasks)]
        self._all += [Worker(environment) for environment in missing]
        while waiting or self._tasks:
            if signals.received is not None:
                yield from self._stop()
                return
            while waiting and self._start(waiting[0]):
                begin(waiting.popleft())
            show(self._tasks)
            for task, outcome in self._outcomes(_REFRESH):
                if outcome.status == "refused":
                    raise PlaygroundError(f"{outcome.message}\nThe same command resumes from here.")
                yield task, outcome

    @property
    def _tasks(self) -> list[Task]:
        """What is being done."""
        return [worker.task for worker in self._all if worker.task is not None]

    def _start(self, task: Task) -> bool:
        """Have a worker without a task do this; False if there is none."""
        for worker in self._all:
            if worker.is_ready and worker.task is None:
                worker.start(task)
                return True
        return False

    def _outcomes(self, timeout: float) -> Iterator[tuple[Task, Outcome]]:
        """Wait until something happens, for so many seconds at most, and give each task that has ended.

        Raises:
            RuntimeError: a worker ended before its first task: it cannot start.
        """
        wait([each for worker in self._all for each in (worker.connection, worker.process.sentinel)], timeout)
        for index, worker in enumerate(self._all):
            outcome = worker.outcome()
            if outcome is None:
                continue
            task, worker.task = worker.task, None
            if outcome.status == "stopped":  # by a signal of somebody's own; the process ends
                worker.process.join()
            if not worker.process.is_alive():
                if not worker.is_ready:
                    raise RuntimeError(f"{outcome.message} before its first task")
                self._all[index] = worker.successor()
            if task is not None:
                yield task, outcome

    def _stop(self) -> Iterator[tuple[Task, Outcome]]:
        """Ask all to end, and wait until they have: trainings finish their step and save."""
        for worker in self._all:
            worker.process.terminate()
        for worker in self._all:
            while worker.task is not None:
                wait([worker.connection, worker.process.sentinel])
                if (outcome := worker.outcome()) is not None:
                    yield worker.task, outcome
                    worker.task = None


def _serve(connection: Connection, environment: Mapping[str, str]) -> None:
    """What a worker process does."""
    os.environ.update(environment)
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from ml_playground.commands.sweep.work import do  # torch, which reads the environment

    signal.signal(signal.SIGTERM, _interrupt)  # until a training handles it, and after
    connection.send(None)
    try:
        while True:
            task: Task = connection.recv()
            outcome = do(task)
            sys.stdout.flush()
            connection.send(outcome)
            if outcome.status == "stopped":
                return
    except (EOFError, KeyboardInterrupt):
        return


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)  # as if killed with it: the next start of the sweep resumes from the last checkpoint
