"""Pictures of runs and of comparisons, as matplotlib figures. No number is smoothed."""

# matplotlib leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ml_playground.analysis.curves import Curve, Differences, Points, X
from ml_playground.analysis.drawing import (
    INK,
    PER,
    SOFT,
    Label,
    colour,
    finished,
    inline,
    label_ends,
    label_points,
    line_style,
    loss_label,
    new_figure,
    save,
    scale_x,
    scale_y,
    styled,
    title,
)
from ml_playground.analysis.fitted_plots import law, varied
from ml_playground.analysis.results import Unit
from ml_playground.analysis.statistics import Verdict

__all__ = [
    "AFTER",
    "Arm",
    "Candidate",
    "Cost",
    "Curve",
    "Differences",
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

Cost = Literal["seconds", "flops", "parameters"]

_NAMES = {
    "steps": "optimizer steps",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "seconds": "training time, seconds",
    "parameters": "parameters",
}
AFTER = {
    "steps": "after the same steps",
    "tokens": "after the same tokens",
    "flops": "after the same FLOPs",
    "seconds": "after the same training time",
}
_WIDE = 10.0  # times the smallest, from which on an axis of costs is logarithmic


@styled
def curves(
    shown: Sequence[Curve],
    x: X = "steps",
    *,
    unit: Unit = "nats/token",
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
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
            ends.append(Label(float(losses[-1]), _with_seeds(each.name, len(each.runs)), number))
    _label_x(axes, x, log=log_x)
    scale_y(axes, log=log_y)
    axes.set_ylabel(loss_label(unit))
    label_ends(axes, ends)
    return finished(figure)


@styled
def differences(
    shown: Sequence[Differences], base: str, x: X = "steps", *, unit: Unit = "nats/token", log_x: bool = False
) -> Figure:
    """The difference of each group to the base, with its 95% interval over seeds.

    Args:
        shown: the groups.
        base: what they are compared with is called.
        x: what is the same for both.
        unit: of the losses.
        log_x: whether the axis is logarithmic.
    """
    figure, axes = new_figure(height=max(4.2, 0.25 * len(shown)))
    ends: list[Label] = []
    for number, each in enumerate(shown, 1):  # the base has the first colour in other pictures
        if each.band is not None:
            axes.fill_between(each.at, *each.band, color=colour(number), alpha=0.2, linewidth=0)
        marker = "o" if len(each.at) == 1 else ""
        axes.plot(each.at, each.means, line_style(number), color=colour(number), linewidth=2, marker=marker)
        ends.append(Label(float(each.means[-1]), _with_seeds(each.name, each.seeds), number))
    axes.axhline(0, color=SOFT, linewidth=1)
    _label_x(axes, x, log=log_x)
    scale_y(axes, log=False)
    axes.set_ylabel(f"difference to {base}, {PER[unit]}")
    between = "; losses between evaluations are interpolated" if any(each.interpolated for each in shown) else ""
    title(axes, f"Difference to {base} {AFTER[x]}: below zero is better\nBands: 95% intervals over seeds{between}")
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
def forest(arms: Sequence[Arm], base: str, unit: Unit = "nats/token") -> Figure:
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
    axes.set_xlabel(f"difference to {base}, {PER[unit]}; left is better")
    return finished(figure)


@dataclass(frozen=True)
class Candidate:
    """A group, what it reaches and what it costs.

    Attributes:
        name: of the group.
        loss: mean validation loss at the end.
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
def pareto(candidates: Sequence[Candidate], cost: Cost = "seconds", unit: Unit = "nats/token") -> Figure:
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
    axes.set_ylabel(loss_label(unit))
    title(axes, "Line: groups that none beats at the same or a lower cost")
    named = sorted(places, key=lambda each: each[1] not in on_front)
    label_points(axes, named, corners, needed=len(on_front))
    return finished(figure)


def _label_x(axes: Axes, x: X | Cost, *, log: bool) -> None:
    scale_x(axes, log=log, prefixes=x != "seconds")
    axes.set_xlabel(_NAMES[x])


def _with_seeds(name: str, seeds: int) -> str:
    return name if seeds < 2 else f"{name} ({seeds} seeds)"
