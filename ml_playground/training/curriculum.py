"""What a run trains on at each step, at which learning rate, and until when."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml_playground.data.batches import Batches


class Stage(NamedTuple):
    """A stretch of steps.

    Attributes:
        batches: what is trained on.
        learning_rate: of a step; each parameter group scales it.
        until: the number of optimiser steps done at its end, counted from the beginning of the run.
    """

    batches: Batches
    learning_rate: Callable[[int], float]
    until: int


class Curriculum:
    """The stages of a run, each a pure function of the step: there is no state to save or restore."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        """`stages` are in order; there is at least one."""
        self._stages = tuple(stages)

    @property
    def end(self) -> int:
        """Optimiser steps in total."""
        return self._stages[-1].until

    def at(self, step: int) -> Stage:
        """The stage of a step, counted from 0; after the end, the last one."""
        return next((stage for stage in self._stages if step < stage.until), self._stages[-1])
