"""What a sweep shows: one live line on a terminal, a line for each run that ends anywhere else."""

import re
import sys
import time
from collections.abc import Sequence
from typing import Self

from tqdm import tqdm

from ml_playground.run.sweep import SweepRun
from ml_playground.utils.text import duration

_LISTED = 4
_BAR = "{n_fmt}/{total_fmt} runs |{bar:20}| {desc}"


class Progress:
    """Counts runs and time.

    The time left is what was expected of the runs that are left, corrected by how long those have taken that ended. To
    these counts one more that takes what is expected of a run: the last steps of a run that is resumed take much longer
    than expected, as it has to start again.
    """

    def __init__(self, *, jobs: int, done: int, runs: int) -> None:
        """Begin.

        Args:
            jobs: runs at the same time.
            done: runs done before.
            runs: all of them.
        """
        self.done, self.runs, self._jobs = done, runs, jobs
        self._left: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._typical = 0.0
        self._expected_of_ended = self._taken_by_ended = 0.0
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=runs, initial=done, bar_format=_BAR, dynamic_ncols=True, leave=False)

    def expect(self, seconds: dict[str, float]) -> None:
        """Expect these seconds of each run to come, by its folder."""
        self._left = dict(seconds)
        self._typical = max(seconds.values(), default=0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, run: SweepRun) -> None:
        """A run begins."""
        self._begun[run.folder] = time.monotonic()

    def end(self, run: SweepRun, result: str, *, remarkable: bool) -> None:
        """A run has ended. On a terminal its `result` is printed only if it is remarkable."""
        taken = time.monotonic() - self._begun.pop(run.folder)
        self._expected_of_ended += self._left.pop(run.folder, 0.0)
        self._taken_by_ended += taken
        self.done += 1
        if self._bar is None:
            print(
                f"{self.done}/{self.runs} {run.folder}: {result} ({duration(taken)}), {self._time_left()}", flush=True
            )
            return
        self._bar.update()
        if remarkable:
            self._bar.write(f"{run.folder}: {result}")

    def write(self, text: str) -> None:
        """Print a line that stays."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text)

    def show(self, current: Sequence[SweepRun]) -> None:
        """Update the live line."""
        if self._bar is not None:
            arms = ", ".join(f"{run.arm} (seed {run.seed})" for run in current)
            self._bar.set_description_str(f"{arms}: {self._time_left()}" if arms else self._time_left())

    def _time_left(self) -> str:
        now = time.monotonic()
        correction = 1.0
        if self._expected_of_ended:
            correction = (self._taken_by_ended + self._typical) / (self._expected_of_ended + self._typical)
        left = sum(
            max(0.0, seconds * correction - (now - self._begun[folder] if folder in self._begun else 0.0))
            for folder, seconds in self._left.items()
        )
        return f"{duration(left / self._jobs)} left"


def listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def in_short(message: str) -> str:
    """The beginning of a message that is a whole one in the log of a run."""
    return re.split(r"\. | \(|\n", message)[0]
