"""What a sink is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress

POSITION = ("tokens", "seconds", "flops")
"""How far the run is, logged with every measurement: as in `Progress`."""


@dataclass(frozen=True)
class SinkStart:
    """The training that a sink is opened for.

    Attributes:
        run: its directory.
        max_iters: optimiser steps in all.
        resumed: whether it resumes from a checkpoint. Later steps that a killed process reported are reported again.
        progress: how far it is.
    """

    run: RunDirectory
    max_iters: int
    resumed: bool = False
    progress: Progress = field(default_factory=Progress)


class Sink(ABC):
    """Receives what a training run measures. It is open from its construction until `close`."""

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take what was measured after `step` optimiser steps, by name, such as `train/loss`, and the `POSITION`."""

    def advance(self) -> None:  # noqa: B027 -- most have nothing to do
        """One more step is done."""

    def sync(self) -> None:  # noqa: B027 -- as above
        """Flush what was logged to disk, so that a checkpoint never survives a crash that its rows do not."""

    def close(self) -> None:  # noqa: B027 -- as above
        """Training has ended, for whatever reason."""
