"""Pictures of losses with a curve fitted to them, for `plots`."""

# matplotlib leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from ml_playground.analysis.drawing import (
    LINE,
    SOFT,
    colour,
    finished,
    loss_label,
    new_figure,
    scale_x,
    scale_y,
    styled,
    title,
)
from ml_playground.analysis.fits import Law, Setting, parabola
from ml_playground.analysis.results import Unit
from ml_playground.analysis.statistics import CONFIDENCE


@styled
def varied(settings: Sequence[Setting], name: str, unit: Unit = "nats/token") -> Figure:
    """Loss over a number that was varied, with a parabola in its logarithm around the best setting."""
    figure, axes = new_figure()
    ordered = sorted(settings, key=lambda each: each.value)
    values = np.array([each.value for each in ordered])
    for each in ordered:
        axes.plot([each.value] * len(each.losses), each.losses, ".", color=SOFT, alpha=0.6, markersize=5)
    errors = [_half_width(each.losses) for each in ordered]
    axes.errorbar(values, [each.mean for each in ordered], errors, fmt="o", color=colour(0), capsize=3, linewidth=1.5)
    fitted = parabola(ordered)
    said = f"{len(ordered)} values: a parabola needs three"
    if fitted is not None:
        at = np.geomspace(fitted.between.low, fitted.between.high, 100)
        axes.plot(at, fitted.at(at), color=colour(1), linewidth=1.2)
        said = f"lowest at {fitted.optimum:.3g}" if fitted.optimum else "no lowest point between the values"
        if fitted.optimum:
            axes.axvline(fitted.optimum, color=colour(1), linewidth=1, linestyle=":")
        if fitted.on_edge:
            said += "; the optimum may lie outside: try values beyond the edge"
    scale_x(axes, log=True, prefixes=False)
    axes.set_xticks(values, [f"{value:.3g}" for value in values])
    scale_y(axes, log=False)
    axes.set_xlabel(name)
    axes.set_ylabel(loss_label(unit))
    title(axes, said[0].upper() + said[1:])
    return finished(figure)


@styled
def law(fitted: Law, settings: Sequence[Setting], name: str = "parameters", unit: Unit = "nats/token") -> Figure:
    """A loss law with the 95% band of its bootstrap, as far as it may be extrapolated."""
    figure, axes = new_figure()
    at = np.geomspace(fitted.sizes.low, fitted.reach.high, 100)
    band = [fitted.interval(float(size)) for size in at]
    low, high = [each.low for each in band], [each.high for each in band]
    inside = at <= fitted.sizes.high
    axes.fill_between(at, low, high, color=colour(0), alpha=0.2, linewidth=0)
    losses = np.array([fitted.at(float(size)) for size in at])
    axes.plot(at[inside], losses[inside], color=colour(0), linewidth=2)
    axes.plot(at[~inside], losses[~inside], color=colour(0), linewidth=2, linestyle=":")
    for each in settings:
        axes.plot([each.value] * len(each.losses), each.losses, "o", color=colour(1), markersize=4, alpha=0.8)
    axes.axvline(fitted.sizes.high, color=LINE, linewidth=1.5)
    scale_x(axes, log=True)
    scale_y(axes, log=False)
    axes.set_xlabel(name)
    axes.set_ylabel(loss_label(unit))
    a = fitted.exponent_interval()
    title(
        axes,
        f"loss = {fitted.floor:.3f} + {fitted.scale:.3g} · N^\N{MINUS SIGN}{fitted.exponent:.3f}, "
        f"exponent in [{a.low:.3f}, {a.high:.3f}]; dotted: extrapolated",
    )
    return finished(figure)


def _half_width(losses: Sequence[float]) -> float:
    """Of the 95% interval of the mean; 0 for one value, which has none."""
    count = len(losses)
    if count < 2:
        return 0.0
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.std(losses, ddof=1) / np.sqrt(count))
