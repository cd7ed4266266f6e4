"""Pictures of runs and of comparisons, as matplotlib figures. No number is smoothed."""

# matplotlib leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ml_playground.analysis.drawing import (
    INK,
    LOSS,
    SOFT,
    Label,
    colour,
    finished,
    inline,
    label_ends,
    label_points,
    line_style,
    new_figure,
    save,
    scale_x,
    scale_y,
    styled,
    title,
)
from ml_playground.analysis.fitted_plots import law, varied
from ml_playground.analysis.statistics import Verdict, difference
from ml_playground.run.records import MetricRow

__all__ = [
    "Arm",
    "Candidate",
    "Cost",
    "Curve",
    "Points",
    "X",
    "curves",
    "differences",
    "forest",
    "inline",
    "law",
    "pareto",
    "save",
    "varied",
]

X = Literal["steps", "tokens", "flops", "seconds"]
Cost = Literal["seconds", "flops", "parameters"]
Floats = NDArray[np.float64]

_NAMES = {
    "steps": "optimizer steps",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "seconds": "training time, seconds",
    "parameters": "parameters",
}
_WIDE = 10.0  # times the smallest, from which on an axis of costs is logarithmic


@dataclass(frozen=True)
class Points:
    """The evaluations of one run; all of the same length.

    Attributes:
        steps: optimiser steps done.
        tokens: trained on so far.
        flops: of the training so far.
        seconds: of the training so far.
        losses: in nats per token.
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

    def losses_at(self, steps: Sequence[int]) -> Floats:
        """Shape (runs, steps)."""
        return np.array([[run.losses[run.steps.index(step)] for step in steps] for run in self.runs])

    def mean(self, x: X) -> tuple[Floats, Floats]:
        """Where and what the mean is, at the steps that all runs were evaluated at."""
        steps = self.common()
        at = np.array([[run.at(x)[run.steps.index(step)] for step in steps] for run in self.runs])
        return at.mean(axis=0), self.losses_at(steps).mean(axis=0)


@styled
def curves(shown: Sequence[Curve], x: X = "steps", *, log_x: bool = False, log_y: bool = False) -> Figure:
    """Losses during training: the mean of each group's runs, and each run thin behind it."""
    figure, axes = new_figure(height=max(4.2, 0.25 * len(shown)))
    ends: list[Label] = []
    for number, each in enumerate(shown):
        style, shade = line_style(number), colour(number)
        for run in each.runs if len(each.runs) > 1 else ():
            axes.plot(run.at(x), run.losses, style, color=shade, linewidth=0.7, alpha=0.35)
        at, losses = each.mean(x)
        axes.plot(at, losses, style, color=shade, linewidth=2, marker="o" if len(at) == 1 else "")
        if len(losses):
            ends.append(Label(float(losses[-1]), _with_seeds(each), number))
    _label_x(axes, x, log=log_x)
    scale_y(axes, log=log_y)
    axes.set_ylabel(LOSS)
    label_ends(axes, ends)
    return finished(figure)


@styled
def differences(
    shown: Sequence[Curve], base: Curve, x: X = "steps", *, paired: bool = True, log_x: bool = False
) -> Figure:
    """The difference of each group to the base after the same steps, with its 95% interval over seeds.

    Args:
        shown: the groups.
        base: what they are compared with.
        x: what the group's evaluations are placed at.
        paired: whether the runs at the same place in both differ in nothing but the change; a group of another number
            of runs than the base is not paired.
        log_x: whether the axis is logarithmic.
    """
    figure, axes = new_figure(height=max(4.2, 0.25 * len(shown)))
    ends: list[Label] = []
    for number, each in enumerate(shown, 1):  # the base has the first colour in other pictures
        steps = sorted(set(each.common()) & set(base.common()))
        if not steps:
            continue
        at = each.mean(x)[0][[each.common().index(step) for step in steps]]
        group, other = each.losses_at(steps), base.losses_at(steps)
        means = group.mean(axis=0) - other.mean(axis=0)
        if min(len(group), len(other)) > 1:
            pairs = paired and len(group) == len(other)
            found = [difference(one, two, paired=pairs) for one, two in zip(group.T, other.T, strict=True)]
            low, high = ([getattr(each.interval, side) for each in found] for side in ("low", "high"))
            axes.fill_between(at, low, high, color=colour(number), alpha=0.2, linewidth=0)
        axes.plot(at, means, line_style(number), color=colour(number), linewidth=2)
        ends.append(Label(float(means[-1]), _with_seeds(each), number))
    axes.axhline(0, color=SOFT, linewidth=1)
    _label_x(axes, x, log=log_x)
    scale_y(axes, log=False)
    axes.set_ylabel(f"difference to {base.name}, nats per token")
    title(axes, f"Below zero is better than {base.name}; bands: 95% intervals over seeds")
    label_ends(axes, ends)
    return finished(figure)


@dataclass(frozen=True)
class Arm:
    """A group beside its base.

    Attributes:
        name: of the group.
        difference: of its mean loss to that of the base.
        low: lower end of the interval of the difference.
        high: its upper end.
        verdict: what may be said of it.
    """

    name: str
    difference: float
    low: float
    high: float
    verdict: Verdict


@styled
def forest(arms: Sequence[Arm], base: str) -> Figure:
    """All groups' differences to the base with their 95% intervals, the best at the top."""
    ordered = sorted(arms, key=lambda each: each.difference)
    figure, axes = new_figure(width=8.6, height=1.3 + 0.36 * len(ordered))
    looks = {
        "better": (colour(0), "o"),
        "worse": (colour(1), "s"),
        "equivalent": (INK, "D"),
        "cannot tell": (SOFT, "D"),
    }
    for row, arm in enumerate(ordered):
        shade, marker = looks[arm.verdict]
        axes.plot([arm.low, arm.high], [row, row], color=shade, linewidth=2, solid_capstyle="butt")
        axes.plot([arm.difference], [row], marker, color=shade, markersize=6)
        text = f"{arm.difference:+.4f} [{arm.low:+.4f}, {arm.high:+.4f}]  {arm.verdict}".replace("-", "\N{MINUS SIGN}")
        axes.text(1.02, row, text, va="center", color=INK, fontsize=9, transform=axes.get_yaxis_transform())
    axes.axvline(0, color=SOFT, linewidth=1)
    axes.set_yticks(range(len(ordered)), [arm.name for arm in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(f"difference to {base}, nats per token; left is better")
    return finished(figure)


@dataclass(frozen=True)
class Candidate:
    """A group, what it reaches and what it costs.

    Attributes:
        name: of the group.
        loss: mean validation loss at the end, in nats per token.
        seconds: of training.
        flops: of training.
        parameters: trainable values.
    """

    name: str
    loss: float
    seconds: float
    flops: float
    parameters: float


@styled
def pareto(candidates: Sequence[Candidate], cost: Cost = "seconds") -> Figure:
    """Loss against a cost; the line joins the groups that none beats at the same or a lower cost."""
    figure, axes = new_figure()
    ordered = sorted(candidates, key=lambda each: (getattr(each, cost), each.loss))
    front: list[Candidate] = []
    for each in ordered:
        if not front or each.loss < front[-1].loss:
            front.append(each)
    places = [(each.name, (float(getattr(each, cost)), each.loss)) for each in ordered]
    on_front = [(float(getattr(each, cost)), each.loss) for each in front]
    corners = [on_front[0], *(point for one, two in pairwise(on_front) for point in ((two[0], one[1]), two))]
    axes.plot(*zip(*corners, strict=True), color=colour(0), linewidth=1.2, alpha=0.6)
    for _, (at, loss) in places:
        best = (at, loss) in on_front
        axes.plot([at], [loss], "o" if best else "D", color=colour(0) if best else SOFT, markersize=7 if best else 5)
    axes.margins(0.15, 0.12)
    costs = [at for _, (at, _) in places]
    _label_x(axes, cost, log=max(costs) > _WIDE * min(costs) > 0)
    scale_y(axes, log=False)
    axes.set_ylabel(LOSS)
    title(axes, "Line: groups that none beats at the same or a lower cost")
    label_points(axes, places, corners)
    return finished(figure)


def _label_x(axes: Axes, x: X | Cost, *, log: bool) -> None:
    scale_x(axes, log=log, prefixes=x != "seconds")
    axes.set_xlabel(_NAMES[x])


def _with_seeds(curve: Curve) -> str:
    return curve.name if len(curve.runs) < 2 else f"{curve.name} ({len(curve.runs)} seeds)"
