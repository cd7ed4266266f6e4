"""The pictures of a comparison."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ml_playground.analysis import plots
from ml_playground.analysis.fits import FEWEST_SIZES, Setting, loss_law
from ml_playground.analysis.fitted_plots import law, varied
from ml_playground.analysis.groups import Group, pairs
from ml_playground.analysis.results import Axis, Comparison, Row

_FEWEST_VALUES = 3  # of a number that was varied, for a picture of its own
_SIZES = {f"[train.model] {name}" for name in ("n_layer", "n_head", "n_kv_head", "n_embd", "head_dim", "n_inner")}
_LENGTH = {"[train.runtime] max_iters"}


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: of its file, without an ending.
        caption: what it shows, and how to read it.
        figure: the picture.
    """

    name: str
    caption: str
    figure: Figure

    @property
    def file(self) -> str:
        """The name of its file, beside the page."""
        return f"compare-{self.name}.svg"


def pictures(comparison: Comparison, groups: Sequence[Group], axis: Axis) -> list[Picture]:
    """All pictures that there are numbers for; none of losses in bits per byte.

    Args:
        comparison: the table.
        groups: those in it.
        axis: what curves are drawn over.
    """
    if comparison.unit != "nats/token":
        return []
    base, *rows = comparison.rows
    tested = [arm for row in rows if (arm := _arm(row)) is not None]
    found: list[Picture] = []
    if tested:
        caption = f"Differences to {base.name} with their 95% intervals over seeds. Left of the line is better."
        found.append(Picture("forest", caption, plots.forest(tested, base.name)))
    found += _law(comparison.rows, groups) or _varied(comparison.rows, groups)
    found += _curves(groups, axis)
    candidates = [
        plots.Candidate(row.name, row.mean, row.cost.seconds, row.cost.flops, row.cost.parameters)
        for row in comparison.rows
        if row.cost is not None and row.mean is not None
    ]
    if len(candidates) > 1:
        caption = "Loss at the end against seconds of training. The line joins what nothing beats at the same cost."
        found.append(Picture("pareto", caption, plots.pareto(candidates, "seconds")))
    return found


def _arm(row: Row) -> plots.Arm | None:
    """A row with a difference."""
    found = row.difference
    if found is None or row.verdict == "base" or row.verdict == "diverged" or row.verdict == "failed":
        return None
    return plots.Arm(row.name, found.mean, found.interval.low, found.interval.high, row.verdict)


def _curves(groups: Sequence[Group], axis: Axis) -> Iterator[Picture]:
    """The losses during training, and their differences to the base; of groups whose `metrics.jsonl` is whole."""
    whole = [group for group in groups if group.members and all(each.curve for each in group.members)]
    curves = [plots.Curve(group.name, [plots.Points.of(each.curve) for each in group.members]) for group in whole]
    if not curves:
        return
    caption = "Exact validation loss during training: the mean over seeds, and each seed thin behind it."
    yield Picture("curves", caption, plots.curves(curves, axis))
    if whole[0] is groups[0] and len(whole) > 1:
        paired = all(pairs(group, groups[0]) == group.seeds == groups[0].seeds for group in whole[1:])
        caption = (
            f"Difference to {groups[0].name} after the same steps, with its 95% interval over seeds. Losses on the way "
            "depend on the schedule: the end of the lines decides."
        )
        yield Picture("differences", caption, plots.differences(curves[1:], curves[0], axis, paired=paired))


def _law(rows: Sequence[Row], groups: Sequence[Group]) -> list[Picture]:
    """The loss over the size of the model or of the training, where that is all that the groups change."""
    keys = {each.key for group in groups[1:] for each in group.changes}
    sizes = [
        (row.cost.parameters if keys <= _SIZES else row.cost.tokens, row.losses)
        for row in rows
        if row.cost is not None and row.losses
    ]
    if not (keys <= _SIZES or keys == _LENGTH) or len({size for size, _ in sizes}) < FEWEST_SIZES:
        return []
    name = "parameters" if keys <= _SIZES else "training tokens"
    settings = [Setting(float(size), losses) for size, losses in sizes]
    caption = (
        f"Loss at the end over {name}, with a law fitted to it and its 95% band. Each size has its own schedule, but "
        "the same rates: with rates of its own, a size may do better."
    )
    return [Picture("law", caption, law(loss_law(settings), settings, name))]


def _varied(rows: Sequence[Row], groups: Sequence[Group]) -> list[Picture]:
    """The loss over a number, where that is all that the groups change."""
    changes = [group.changes for group in groups[1:]]
    if not changes or any(len(each) != 1 for each in changes) or len({each[0].key for each in changes}) > 1:
        return []
    key, before = changes[0][0].key, changes[0][0].before
    values: list[object] = [before, *(each[0].now for each in changes)]
    settings = [
        Setting(float(value), row.losses)
        for value, row in zip(values, rows, strict=True)
        if isinstance(value, int | float) and value > 0 and row.losses
    ]
    if len(settings) < max(_FEWEST_VALUES, sum(bool(row.losses) for row in rows)):
        return []
    return [Picture("varied", f"Loss at the end over {key}.", varied(settings, key))]
