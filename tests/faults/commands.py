"""Commands of the toolkit in forked processes, with something befalling them."""

import os
import select
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.faults.shim import Call, Fault, arm, calls

LONGEST = 120.0  # seconds that a command may take; what takes longer hangs


@dataclass(frozen=True)
class Ended:
    """How a command ended. A negative code is the signal that killed it; None that it hung."""

    code: int | None
    out: str
    err: str
    seconds: float
    log: Path

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def calls(self) -> list[Call]:
        """What it did to files."""
        return list(calls(self.log))


class Started:
    """A command that runs."""

    def __init__(
        self, root: Path, verb: str, *options: str, fault: Fault | None = None, with_data: bool = False, name: str = ""
    ) -> None:
        """Start `verb` of the experiment `tiny` in the project at `root`."""
        beside = root.parent / f"{root.name}-{name or verb}"
        self._out, self._err, self._log = (beside.with_suffix(suffix) for suffix in (".out", ".err", ".log"))
        self._began = time.monotonic()
        self.pid = os.fork()
        if self.pid:
            return
        try:
            for path, descriptor in ((self._out, 1), (self._err, 2)):
                os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644), descriptor)
            sys.stdout, sys.stderr = (
                os.fdopen(1, "w", encoding="utf-8"),
                os.fdopen(2, "w", encoding="utf-8", buffering=1),
            )
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(root)
            arm(root, fault or Fault(), self._log, with_data=with_data)
            _run([verb, "tiny", *options])
        finally:
            os._exit(99)  # nothing of the trial that it was forked from may run here

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        ended = os.pidfd_open(self.pid)
        try:
            return not select.select([ended], [], [], 0)[0]
        finally:
            os.close(ended)

    def end(self, *, kill_after: float | None = None) -> Ended:
        """Wait for its end; with `kill_after`, kill it after so many seconds."""
        ended = os.pidfd_open(self.pid)
        limit = LONGEST if kill_after is None else kill_after
        in_time = bool(select.select([ended], [], [], limit)[0])
        os.close(ended)
        if not in_time:
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in (self._out, self._err))
        hung = not in_time and kill_after is None
        return Ended(None if hung else status, out, err, time.monotonic() - self._began, self._log)


def command(root: Path, verb: str, *options: str, fault: Fault | None = None, with_data: bool = False) -> Ended:
    """Run `verb` to its end."""
    return Started(root, verb, *options, fault=fault, with_data=with_data).end()


def _run(words: list[str]) -> NoReturn:
    """What `python -m ml_playground.cli` does, up to the end of the interpreter."""
    from ml_playground.cli import main

    try:
        code = main(words)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # pyright: ignore  # as the interpreter does
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
