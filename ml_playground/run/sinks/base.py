"""What a sink is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress

POSITION = ("tokens", "seconds", "flops")
"""How far the run is, which comes with all that is measured: as in `Progress`."""


@dataclass(frozen=True)
class SinkStart:
    """The training that a sink is opened for.

    Attributes:
        run: its directory.
        max_iters: optimiser steps in all.
        resumed: whether it resumes from a checkpoint. What a killed process reported of later steps comes again.
        progress: how far it is.
    """

    run: RunDirectory
    max_iters: int
    resumed: bool = False
    progress: Progress = field(default_factory=Progress)


class Sink(ABC):
    """Takes what a training measures. It is open from the moment it is made until `close`."""

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take what was measured after `step` optimiser steps, by name, such as `train/loss`, and the `POSITION`."""

    def advance(self) -> None:  # noqa: B027 -- most have nothing to do
        """One more step is done."""

    def sync(self) -> None:  # noqa: B027 -- as above
        """Have what was logged on the disk: a checkpoint is about to be saved, which must not outlive it."""

    def close(self) -> None:  # noqa: B027 -- as above
        """The training has ended, however it did."""
