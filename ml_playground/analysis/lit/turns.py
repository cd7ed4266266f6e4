"""One computation at a time, in the order in which they were asked for."""

from collections import deque
from threading import Lock
from types import TracebackType


class Turns:
    """A lock that threads get in the order in which they ask.

    With an ordinary one, a thread that computes many examples in a row takes it again before others wake up, and a
    click would wait for all of them.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Lock] = deque()
        self._taken = False

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until the thread before hands over

    def stop(self) -> None:
        """Wait for who has a turn and for those who wait now; after that nobody gets one.

        A process that ends while torch computes in another thread is aborted.
        """
        self.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
