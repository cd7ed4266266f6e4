"""Whether groups of runs differ from a base, by how much, how sure that is, and at what cost."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_playground.analysis import statistics
from ml_playground.analysis.bootstrap import Curve, Share, of_another_text, share_of_budget
from ml_playground.analysis.groups import Group, stated
from ml_playground.analysis.members import Evaluation, LeftOut, Measured
from ml_playground.analysis.remarks import incomparable, remarks
from ml_playground.analysis.results import AXES, Axis, Comparison, Cost, Power, Row, Unit, Verdict, counted
from ml_playground.analysis.statistics import ALPHA, Difference, Interval
from ml_playground.errors import PlaygroundError


def compare(
    groups: Sequence[Group],
    *,
    evaluation: Evaluation = "end",
    equivalence: float | None = None,
    left_out: Sequence[LeftOut] = (),
    notes: Sequence[str] = (),
) -> tuple[Comparison, list[Group]]:
    """Compare groups with the first of them.

    Args:
        groups: the base first.
        evaluation: where their losses come from.
        equivalence: the smallest difference that matters, in nats per token.
        left_out: what is left out already.
        notes: remarks to add.

    Returns:
        The table, and the groups that are in it.

    Raises:
        PlaygroundError: the base has no finished run, or there is nothing to compare it with.
    """
    base, *others = groups
    if not base.members:
        raise PlaygroundError(
            f"the base, {base.name}, has no finished run ({counted(_failures(base))}). Choose another with --base."
        )
    kept, refused = [base], list(left_out)
    for group in others:
        if (reason := incomparable(group, base, evaluation)) is None:
            kept.append(group)
        else:
            refused.append(LeftOut(group.name, reason))
    if len(kept) == 1:
        reasons = "".join(f"\n  {each.name}: {each.reason}" for each in refused)
        raise PlaygroundError(
            f"there is nothing to compare {base.name} with. Train another configuration, or a sweep.{reasons}"
        )
    unit: Unit = "nats/token" if all(_same_tokens(each, base) for each in kept if each.members) else "bits/byte"
    eps = equivalence if unit == "nats/token" else None
    rows = _rows(kept, unit, eps)
    spread, degrees = statistics.pooled_sd([row.losses for row in rows])
    said = [*notes, *remarks(kept, rows, unit, evaluation)]
    if unit == "bits/byte" and equivalence is not None:
        said.append("[compare] equivalence is in nats per token and is not used: the tokenizers differ")
    measured = base.measured[0]
    return Comparison(
        unit, _measure(measured, unit, evaluation), rows, eps, spread if degrees else None, refused, said
    ), kept


def _same_tokens(group: Group, base: Group) -> bool:
    return group.measured[0].token_ids == base.measured[0].token_ids


def _measure(measured: Measured, unit: Unit, evaluation: Evaluation) -> str:
    counts = measured.predictions
    tokens = "" if counts is None or unit == "bits/byte" else f", {sum(counts):,} tokens"
    if evaluation == "end":
        return f"exact validation loss at the end of training, {unit}{tokens}"
    return (
        f"validation loss of the last checkpoint by 'evaluate', context {measured.context:,}, stride "
        f"{measured.stride:,}, {unit}{tokens}"
    )


def _rows(groups: Sequence[Group], unit: Unit, equivalence: float | None) -> list[Row]:
    base = groups[0]
    found = {group.name: _difference(group, base, unit) for group in groups[1:]}
    tested = {name: each for name, each in found.items() if each is not None}
    corrected = dict(zip(tested, statistics.holm([each.p for each in tested.values()]), strict=True))
    rows = [_row(base, unit, verdict="base")]
    for group in groups[1:]:
        difference, p = found[group.name], corrected.get(group.name)
        verdict: Verdict = "cannot tell"
        if not group.members:
            verdict = "diverged" if any(each.status == "diverged" for each in group.failed) else "failed"
        elif difference is not None and p is not None:
            verdict = statistics.verdict(difference, p=p, equivalence=equivalence)
        rows.append(
            _row(
                group,
                unit,
                difference=difference,
                p=p,
                verdict=verdict,
                another_text=_another_text(group, base, unit),
                shares=_shares(group, base, unit),
                power=None if difference is None else _power(difference, group, equivalence, len(tested)),
            )
        )
    return rows


def _row(group: Group, unit: Unit, **others: Any) -> Row:
    losses = _losses(group, unit)
    return Row(
        name=group.name,
        changes=[stated(each) for each in group.changes],
        runs=[each.name for each in group.members],
        seeds=group.seeds,
        failed=_failures(group),
        losses=losses,
        mean=float(np.mean(losses)) if losses else None,
        sd=float(np.std(losses, ddof=1)) if len(losses) > 1 else None,
        lowest=_lowest(group, unit),
        cost=_cost(group),
        **others,
    )


def _losses(group: Group, unit: Unit) -> list[float]:
    return [each.loss if unit == "nats/token" else each.bits_per_byte for each in group.measured]


def _column(unit: Unit) -> str:
    return "val/loss" if unit == "nats/token" else "val/bits_per_byte"


def _lowest(group: Group, unit: Unit) -> float | None:
    curves = [[row.values[_column(unit)] for row in each.curve] for each in group.members]
    return float(np.mean([min(curve) for curve in curves])) if curves and all(curves) else None


def _failures(group: Group) -> dict[str, int]:
    return dict(Counter(each.status for each in group.failed))


def _cost(group: Group) -> Cost | None:
    if not group.members:
        return None
    record, runs = group.members[0].record, [each.progress for each in group.members]
    tables = record.table_parameters
    return Cost(
        record.parameters,
        None if tables is None else record.parameters - tables,
        steps=float(np.mean([each.step for each in runs])),
        tokens=float(np.mean([each.tokens for each in runs])),
        flops=float(np.mean([each.flops for each in runs])),
        seconds=float(np.mean([each.seconds for each in runs])),
    )


def paired(group: Group, base: Group) -> bool:
    """Whether runs of the same seed are compared: both groups have the same seeds, and these the same batches."""
    return group.seeds == base.seeds and group.any.batches == base.any.batches


def _difference(group: Group, base: Group, unit: Unit) -> Difference | None:
    if min(len(group.members), len(base.members)) < 2:
        return None
    return statistics.difference(_losses(group, unit), _losses(base, unit), paired=paired(group, base))


def _another_text(group: Group, base: Group, unit: Unit) -> Interval | None:
    """The interval over texts; None where windows are missing, too few, or not the same ones."""
    parts = [each.windows for each in (*group.measured, *base.measured) if each.windows is not None]
    runs, windows = len(group.members), len(parts[0]) if parts else 0
    if unit == "bits/byte" or not runs or len(parts) < runs + len(base.members):
        return None
    counts = group.measured[0].predictions
    same = all(each.predictions == counts for each in (*group.measured, *base.measured))
    if windows < 2 or counts is None or not same or any(len(each) != windows for each in parts):
        return None
    return of_another_text(np.stack(parts[:runs]), np.stack(parts[runs:]), np.asarray(counts, float))


def _shares(group: Group, base: Group, unit: Unit) -> dict[Axis, Share]:
    """By axis; empty where the curves are incomplete, or of windows of another length."""
    if not group.members or group.any.batches["block_size"] != base.any.batches["block_size"]:
        return {}
    found: dict[Axis, Share] = {}
    for axis in AXES:
        curve, of_base = curve_of(group, axis, unit), curve_of(base, axis, unit)
        if curve is not None and of_base is not None and float(of_base.at[:, -1].mean()) > 0:
            found[axis] = share_of_budget(curve, of_base, paired=paired(group, base))
    return found


def curve_of(group: Group, axis: Axis, unit: Unit) -> Curve | None:
    """The evaluations that all runs of a group have; None where a run lacks that at its end, or ended elsewhere."""
    rows = [{row.step: row for row in each.curve} for each in group.members]
    if not rows or not all(rows) or len({max(each) for each in rows}) > 1:
        return None
    steps = [step for step in rows[0] if all(step in each for each in rows)]
    name = "step" if axis == "steps" else axis
    at = [[float(getattr(each[step], name)) for step in steps] for each in rows]
    losses = [[each[step].values[_column(unit)] for step in steps] for each in rows]
    return Curve(np.asarray(at), np.asarray(losses))


def _power(found: Difference, group: Group, equivalence: float | None, tests: int) -> Power:
    level = ALPHA / tests
    effect = equivalence or abs(found.mean)
    seeds = statistics.seeds_needed(found, effect, alpha=level) if effect else None
    cost = _cost(group)
    minutes = None if seeds is None or cost is None else seeds * cost.seconds / 60
    return Power(statistics.detectable(found, alpha=level), effect, seeds, minutes)
