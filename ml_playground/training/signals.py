"""SIGINT, SIGTERM and SIGHUP as a request to stop, which the trainer checks between steps."""

import signal
import threading
import time
from types import FrameType
from typing import Any

_IMPATIENCE = 1.0  # seconds; one Ctrl-C may reach the process twice, from the terminal and from a parent


class StopSignals:
    """Within its block, Ctrl-C, SIGTERM and a closed terminal are noted in `received` instead of ending the process.

    A second one, more than a second later, raises KeyboardInterrupt at once: a way out of a step that hangs.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._received_at = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows lacks the last
                each = getattr(signal, name, None)
                if each is not None and signal.getsignal(each) != signal.SIG_IGN:  # nohup ignores the last
                    self._previous[each] = signal.signal(each, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is not None and now - self._received_at > _IMPATIENCE:
            raise KeyboardInterrupt
        if self.received is None:
            self.received, self._received_at = signal.Signals(signum), now
