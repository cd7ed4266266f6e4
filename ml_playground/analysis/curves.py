"""The evaluations of runs during training, and how two groups of them differ."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from ml_playground.analysis.statistics import difference
from ml_playground.run.records import MetricRow

X = Literal["steps", "tokens", "flops", "seconds"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """The evaluations of one run; all of the same length.

    Attributes:
        steps: optimiser steps done.
        tokens: trained on so far.
        flops: of the training so far.
        seconds: of the training so far.
        losses: in nats per token, or in bits per byte.
    """

    steps: Sequence[int]
    tokens: Sequence[int]
    flops: Sequence[float]
    seconds: Sequence[float]
    losses: Sequence[float]

    @classmethod
    def of(cls, rows: Sequence[MetricRow], metric: str = "val/loss") -> Self:
        """Those of the rows of `metrics.jsonl` that have the metric."""
        rows = [row for row in rows if metric in row.values]
        return cls(
            [row.step for row in rows],
            [row.tokens for row in rows],
            [row.flops for row in rows],
            [row.seconds for row in rows],
            [row.values[metric] for row in rows],
        )

    def trained(self) -> Self:
        """Without the evaluation before the first step, which has no place on a logarithmic axis."""
        first = sum(step == 0 for step in self.steps)
        return type(self)(*(values[first:] for values in astuple(self)))

    def at(self, x: X) -> Floats:
        """Where the losses were measured, shape (E,)."""
        return np.array(getattr(self, x), dtype=np.float64)


@dataclass(frozen=True)
class Curve:
    """Runs that differ in their seed only.

    Attributes:
        name: what the picture calls them.
        runs: the evaluations of each.
    """

    name: str
    runs: Sequence[Points]

    def common(self) -> list[int]:
        """The steps that all runs were evaluated at."""
        return sorted(set[int].intersection(*(set(run.steps) for run in self.runs))) if self.runs else []

    def mean(self, x: X) -> tuple[Floats, Floats]:
        """Where and what the mean is, at the steps that all runs were evaluated at."""
        steps = self.common()
        at, losses = (
            np.array([[values[run.steps.index(step)] for step in steps] for run, values in each])
            for each in (
                [(run, run.at(x)) for run in self.runs],
                [(run, np.asarray(run.losses, dtype=np.float64)) for run in self.runs],
            )
        )
        return at.mean(axis=0), losses.mean(axis=0)


@dataclass(frozen=True)
class Differences:
    """How much a group's loss differs from that of its base in the course of training.

    Attributes:
        name: of the group.
        seeds: runs of the group.
        at: steps, tokens, FLOPs or seconds of both, shape (E,).
        means: the difference of the means, shape (E,).
        band: lower and upper ends of its 95% intervals, both (E,); None if a side has fewer than two runs.
        interpolated: whether there are losses between evaluations among them.
        end_together: whether the last evaluations of all runs are at the same place.
    """

    name: str
    seeds: int
    at: Floats
    means: Floats
    band: tuple[Floats, Floats] | None
    interpolated: bool
    end_together: bool


@dataclass(frozen=True)
class Contrast:
    """A group beside its base.

    Attributes:
        name: of the group.
        group: the evaluations of its runs.
        base: those of the base's runs.
        paired: whether the runs at the same place in both are of the same seed and batches.
    """

    name: str
    group: Sequence[Points]
    base: Sequence[Points]
    paired: bool

    def over(self, x: X) -> Differences | None:
        """The difference where both had as many steps, tokens, FLOPs or seconds.

        It is measured where all runs were evaluated. Where that is rare, as with seconds, each run's losses are taken
        as linear between its evaluations, and never extended. That is too high where a loss falls ever more slowly.

        Returns:
            None if no place is within the evaluations of all runs.
        """
        runs = [*self.group, *self.base]
        places = [run.at(x) for run in runs]
        if not all(map(len, places)):
            return None
        shared = reduce(np.intersect1d, places)
        interpolated = 2 * len(shared) < min(map(len, places))
        at = self._between(x, places) if interpolated else shared
        if not len(at):
            return None
        losses = np.array([np.interp(at, place, run.losses) for place, run in zip(places, runs, strict=True)])
        group, base = losses[: len(self.group)], losses[len(self.group) :]
        band = None
        if min(len(group), len(base)) > 1:
            found = [
                difference(one, two, paired=self.paired).interval for one, two in zip(group.T, base.T, strict=True)
            ]
            band = np.array([each.low for each in found]), np.array([each.high for each in found])
        means = group.mean(axis=0) - base.mean(axis=0)
        return Differences(
            self.name, len(group), at, means, band, interpolated, len({float(place[-1]) for place in places}) == 1
        )

    def _between(self, x: X, places: Sequence[Floats]) -> Floats:
        """Where either side's mean is, within the evaluations of all runs."""
        means = [Curve(self.name, side).mean(x)[0] for side in (self.group, self.base)]
        first, last = max(each[0] for each in places), min(each[-1] for each in places)
        at = np.union1d(*means)
        return np.union1d(at[(first <= at) & (at <= last)], [first, last] if first <= last else [])
