"""What a run learns from at each step, at which rate, and until when."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml_playground.data.batches import Batches


class Stage(NamedTuple):
    """A stretch of steps.

    Attributes:
        batches: what is learnt from.
        learning_rate: a step's rate, of which each group of parameters has a multiple.
        until: the number of optimiser steps done at its end, counted from the beginning of the run.
    """

    batches: Batches
    learning_rate: Callable[[int], float]
    until: int


class Curriculum:
    """The stages of a run, each a pure function of the step: nothing of it is saved or restored."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        """Take stages in their order, at least one."""
        self._stages = tuple(stages)

    @property
    def end(self) -> int:
        """Optimiser steps in all."""
        return self._stages[-1].until

    def at(self, step: int) -> Stage:
        """The stage of a step, of which 0 is the first; the last one also of what would follow it."""
        return next((stage for stage in self._stages if step < stage.until), self._stages[-1])
