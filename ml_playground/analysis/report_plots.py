"""Pictures of how well a model fits a text."""

# matplotlib leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence

from matplotlib.figure import Figure

from ml_playground.analysis.drawing import INK, SOFT, colour, finished, loss_label, new_figure, scale_y, styled, title
from ml_playground.analysis.fit import Bin, Calibration

_LARGEST, _SMALLEST = 12.0, 3.0  # points across


@styled
def bins(shown: Sequence[Bin], name: str, mean: float) -> Figure:
    """The loss of each bin that has tokens, beside the mean of all.

    Args:
        shown: the bins, in order.
        name: what they are bins of.
        mean: validation loss, in nats per token.
    """
    figure, axes = new_figure(height=3.2)
    filled = [(span(each), each.loss) for each in shown if each.loss is not None]
    axes.plot(range(len(filled)), [loss for _, loss in filled], "o-", color=colour(0), linewidth=2)
    axes.axhline(mean, color=SOFT, linewidth=1, linestyle="--")
    axes.text(1.01, mean, "mean", transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=9)
    axes.set_xticks(range(len(filled)), [label for label, _ in filled])
    if len(filled) > 1:
        axes.set_xlim(-0.3, len(filled) - 0.7)
    scale_y(axes, log=False)
    axes.set_ylabel(loss_label())
    axes.set_xlabel(name)
    return finished(figure)


def span(each: Bin) -> str:
    """What a bin holds, in short: 4-7, or 10k-99k."""
    return _short(each.first) if each.first == each.last else f"{_short(each.first)}\N{EN DASH}{_short(each.last)}"


@styled
def calibration(shown: Calibration) -> Figure:
    """How often the likeliest token is right over its probability; the larger a point, the more predictions it is."""
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
    filled = [
        (each.confidence, each.accuracy, each.tokens)
        for each in shown.bins
        if each.confidence is not None and each.accuracy is not None
    ]
    axes.plot([at for at, _, _ in filled], [right for _, right, _ in filled], color=colour(0), linewidth=1.2)
    most = max(tokens for _, _, tokens in filled)
    for at, right, tokens in filled:
        size = max(_SMALLEST, _LARGEST * (tokens / most) ** 0.5)  # the area is the number
        axes.plot([at], [right], "o", color=colour(0), markersize=size)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability of the likeliest token")
    axes.set_ylabel("share that was right")
    title(axes, "Below the dashed line: too sure")
    return finished(figure)


def _short(count: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count // size}{unit}"
    return str(count)
