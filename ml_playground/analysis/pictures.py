"""The pictures of a comparison."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ml_playground.analysis import plots
from ml_playground.analysis.curves import Contrast
from ml_playground.analysis.fits import FEWEST_SIZES, Setting, loss_law
from ml_playground.analysis.fitted_plots import law, varied
from ml_playground.analysis.groups import Group, pairs
from ml_playground.analysis.members import Member
from ml_playground.analysis.remarks import incomparable
from ml_playground.analysis.results import Axis, Comparison, Row, Unit

_FEWEST_VALUES = 3  # of a number that was varied, for a picture of its own
_SIZES = {f"[train.model] {name}" for name in ("n_layer", "n_head", "n_kv_head", "n_embd", "head_dim", "n_inner")}
_LENGTH = {"[train.runtime] max_iters"}
_SIMILAR = 0.05  # of a cost, within which it counts as matched


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
    """All pictures that there are numbers for.

    Args:
        comparison: the table.
        groups: those in it.
        axis: what curves are drawn over.
    """
    base, unit = comparison.rows[0], comparison.unit
    tested = [arm for row in comparison.rows[1:] if (arm := _arm(row)) is not None]
    found: list[Picture] = []
    if tested:
        caption = f"Differences to {base.name} with their 95% intervals over seeds. Left of the line is better."
        found.append(Picture("forest", caption, plots.forest(tested, base.name, unit)))
    found += _law(comparison.rows, groups, unit) or list(_varied(comparison.rows, groups, unit))
    found += over_training(groups, axis, unit)
    candidates = [
        plots.Candidate(row.name, row.mean, row.cost.seconds, row.cost.flops, row.cost.parameters)
        for row in comparison.rows
        if row.cost is not None and row.mean is not None
    ]
    return [*found, *fronts(candidates, unit)]


def over_training(
    groups: Sequence[Group],
    axis: Axis,
    unit: Unit,
    *,
    unfinished: Sequence[plots.Curve] = (),
    log_x: bool = False,
    log_y: bool = False,
) -> Iterator[Picture]:
    """The losses during training, and their differences to the base; of groups whose `metrics.jsonl` is whole.

    Groups that were evaluated on other windows than the base during training are left out, as a caption says.

    Args:
        groups: the base first.
        axis: what they are drawn over.
        unit: of the losses.
        unfinished: runs that are drawn beside them, and are in no mean and no difference.
        log_x: whether the axis is logarithmic.
        log_y: whether that of the losses is, where these are drawn.
    """
    base, *others = groups
    whole = [group for group in groups if group.members and all(each.curve for each in group.members)]
    elsewhere = [group for group in others if group in whole and not _same_part(group, base)]
    shown = [group for group in whole if group not in elsewhere]
    lines = [*(plots.Curve(group.name, _points(group.members, unit)) for group in shown), *unfinished]
    if log_x:
        lines = [plots.Curve(each.name, [run.trained() for run in each.runs]) for each in lines]
    if not lines:
        return
    caption = "Exact validation loss during training: the mean over seeds, and each seed thin behind it."
    figure = plots.curves(lines, axis, unit=unit, log_x=log_x, log_y=log_y)
    yield Picture("curves", caption + _not_drawn(elsewhere), figure)
    if base not in shown:
        return
    alike = [group for group in shown if group is not base and same_windows(group, base)]
    contrasts = [_contrast(group, base, unit, log_x=log_x) for group in alike]
    found = [each for contrast in contrasts if (each := contrast.over(axis)) is not None]
    if not found:
        return
    missing = [group for group in whole if group not in alike and group is not base]
    figure = plots.differences(found, base.name, axis, unit=unit, log_x=log_x)
    yield Picture("differences", _differences(found, base, axis) + _not_drawn(missing), figure)


def _differences(shown: Sequence[plots.Differences], base: Group, axis: Axis) -> str:
    """How to read them."""
    end = "the end of the lines decides."
    if not all(each.end_together for each in shown):
        end = "where one run ends before the other, only its learning rate has decayed. The table compares their ends."
    caption = (
        f"Difference to {base.name} {plots.AFTER[axis]}, with its 95% interval over seeds. Losses on the way depend on "
        f"the schedule: {end}"
    )
    if any(each.interpolated for each in shown):
        caption += " Losses between evaluations are interpolated linearly: too high where they fall steeply."
    return caption


def fronts(candidates: Sequence[plots.Candidate], unit: Unit) -> Iterator[Picture]:
    """Loss against seconds, FLOPs and parameters, each where the groups differ in that."""
    costs: dict[plots.Cost, str] = {
        "seconds": "seconds of training",
        "flops": "training FLOPs",
        "parameters": "the number of parameters",
    }
    for cost, words in costs.items():
        if len({getattr(each, cost) for each in candidates}) > 1:
            caption = f"Loss at the end against {words}. The line joins what nothing beats at the same cost."
            yield Picture(f"pareto_{cost}", caption, plots.pareto(candidates, cost, unit))


def same_windows(group: Group, base: Group) -> bool:
    """Whether both were evaluated on the same windows during training, so that their losses then may be subtracted."""
    return _same_part(group, base) and group.any.batches["block_size"] == base.any.batches["block_size"]


def _same_part(group: Group, base: Group) -> bool:
    return not base.members or incomparable(group, base, "end") is None


def _not_drawn(groups: Sequence[Group]) -> str:
    names = ", ".join(group.name for group in groups)
    return f" Not drawn, as evaluated on other windows during training: {names}." if groups else ""


def _contrast(group: Group, base: Group, unit: Unit, *, log_x: bool) -> Contrast:
    """The runs that the table compares."""
    seeds = pairs(group, base)
    kept = ([each for each in side.members if not seeds or each.seed in seeds] for side in (group, base))
    own, others = ([each.trained() if log_x else each for each in _points(members, unit)] for members in kept)
    return Contrast(group.name, own, others, bool(seeds))


def _points(members: Iterable[Member], unit: Unit) -> list[plots.Points]:
    return [plots.Points.of(each.curve, metric(unit)) for each in members]


def metric(unit: Unit) -> str:
    """The column of `metrics.jsonl` with validation losses in a unit."""
    return "val/loss" if unit == "nats/token" else "val/bits_per_byte"


def _arm(row: Row) -> plots.Arm | None:
    """A row with a difference."""
    found = row.difference
    if found is None or row.verdict == "base" or row.verdict == "diverged" or row.verdict == "failed":
        return None
    return plots.Arm(row.name, found.mean, found.interval.low, found.interval.high, row.verdict)


def _law(rows: Sequence[Row], groups: Sequence[Group], unit: Unit) -> list[Picture]:
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
    return [Picture("law", caption, law(loss_law(settings), settings, name, unit))]


def _varied(rows: Sequence[Row], groups: Sequence[Group], unit: Unit) -> Iterator[Picture]:
    """The loss over each number that some groups change alone, the base among them.

    That includes groups whose `max_iters` differs as well because it gives them the base's tokens, FLOPs or seconds.
    """
    alone: dict[str, list[tuple[object, Row]]] = {}
    for group, row in zip(groups[1:], rows[1:], strict=True):
        changes = group.changes
        if len(changes) == 2 and _matched(row, rows[0]):
            changes = tuple(each for each in changes if each.key not in _LENGTH)
        if len(changes) == 1:
            alone.setdefault(changes[0].key, [(changes[0].before, rows[0])]).append((changes[0].now, row))
    for key, found in alone.items():
        settings = [Setting(value, row.losses) for each, row in found if row.losses and (value := _positive(each))]
        if len(settings) < _FEWEST_VALUES:
            continue
        missing = ", ".join(f"{json.dumps(each)}" for each, row in found if row.losses and not _positive(each))
        lengths = {row.cost.steps for _, row in found if row.cost is not None}
        budget = " and for as many tokens, FLOPs or seconds" if len(lengths) > 1 else ""
        caption = f"Loss at the end over {key}, all else as in {rows[0].name}{budget}."
        if missing:
            caption += f" Not on its logarithmic axis: {missing}."
        name = "_".join(re.findall(r"\w+", key))
        yield Picture(f"varied_{name}", caption, varied(settings, key, unit))


def _matched(row: Row, base: Row) -> bool:
    """Whether a row has the base's budget, so that its number of steps follows from what it changes."""
    if row.cost is None or base.cost is None:
        return False
    pairs = [(getattr(row.cost, name), getattr(base.cost, name)) for name in ("tokens", "flops", "seconds")]
    return any(abs(one - other) < _SIMILAR * other for one, other in pairs)


def _positive(value: object) -> float | None:
    """A number that a logarithmic axis has a place for."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if value > 0 else None
