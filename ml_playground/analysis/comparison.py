"""Whether groups of runs differ from a base, by how much, how sure that is, and at what cost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ml_playground.analysis import statistics
from ml_playground.analysis.budget import Curve, Share, share_of_budget
from ml_playground.analysis.groups import Group, pairs, stated
from ml_playground.analysis.members import Evaluation, LeftOut
from ml_playground.analysis.remarks import incomparable, remarks
from ml_playground.analysis.results import AXES, Axis, Comparison, Cost, Power, Row, Unit, Verdict, counted
from ml_playground.analysis.statistics import ALPHA, Difference, Finding, Interval
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
    found = Comparison(
        dataset=str(base.any.record.config["prepare"]["dataset"]),
        unit=unit,
        measure=_measure(base, unit, evaluation),
        rows=rows,
        equivalence=eps,
        pooled_sd=spread if degrees else None,
        left_out=refused,
        notes=said,
        about=list(_about(kept)),
    )
    return found, kept


def _about(groups: Sequence[Group]) -> Iterator[str]:
    record, runs = groups[0].any.record, [each for group in groups for each in (*group.members, *group.failed)]
    yield f"{groups[0].name}: the configuration of {record.toml or groups[0].any.name}"
    machine = record.machine
    on = [machine.processor or machine.system, *([] if machine.device == "cpu" else [machine.device])]
    yield f"trained on {', '.join(on)}, {record.threads} {'thread' if record.threads == 1 else 'threads'}"
    versions = [f"{name} {record.versions[name]}" for name in ("ml_playground", "torch") if name in record.versions]
    ends = [each.run.summary.time for each in runs if each.run.summary is not None]
    yield f"with {', '.join(versions)}; the last run ended at {max(ends)}"


def _same_tokens(group: Group, base: Group) -> bool:
    return group.measured[0].token_ids == base.measured[0].token_ids


def _measure(base: Group, unit: Unit, evaluation: Evaluation) -> str:
    measured, tokens = base.measured[0], ""
    if (counts := measured.predictions) is not None and unit == "nats/token":
        tokens = f", {sum(counts):,} tokens"
    if evaluation == "evaluate":
        return (
            f"validation loss of the last checkpoint by 'evaluate', context {measured.context:,}, stride "
            f"{measured.stride:,}, {unit}{tokens}"
        )
    if base.any.record.config["train"]["runtime"]["eval_iters"]:
        return f"loss at the end of training on the first part of the validation text, {unit}{tokens}"
    return f"exact validation loss at the end of training, {unit}{tokens}"


def _rows(groups: Sequence[Group], unit: Unit, equivalence: float | None) -> list[Row]:
    base, *others = groups
    differences = {each.name: found for each in others if (found := _difference(each, base, unit)) is not None}
    results = dict(
        zip(differences, statistics.findings(list(differences.values()), equivalence=equivalence), strict=True)
    )
    rows = [_row(base, unit, verdict="base")]
    for group in others:
        finding = results.get(group.name)
        tested: dict[str, Any] = {}
        if finding is not None:
            tested = {
                "difference": finding.difference,
                "p": finding.p,
                "p_equivalent": finding.p_equivalent,
                "permutation": _permutation(group, base, unit),
                "power": _power(finding.difference, (group, base), equivalence, len(results)),
            }
        text, shares = _over_text(group, base, unit), _shares(group, base, unit)
        verdict = _verdict(group, base, finding)
        rows.append(_row(group, unit, verdict=verdict, over_text=text, shares=shares, **tested))
    return rows


def _verdict(group: Group, base: Group, finding: Finding | None) -> Verdict:
    """What is found of the finished runs, unless more of the other side's runs have reached their end."""
    if not group.members:
        return "diverged" if group.diverged else "failed"
    if finding is None:
        return "cannot tell"
    lost, of_base = group.diverged, base.diverged
    flattered = {"better": lost > of_base, "worse": lost < of_base, "equivalent": lost != of_base}
    return "cannot tell" if flattered.get(finding.verdict, False) else finding.verdict


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


def _compared(group: Group, base: Group, unit: Unit) -> tuple[list[float], list[float], bool]:
    """The losses of both, and whether they are pairs."""
    if seeds := pairs(group, base):
        of_seed = [dict(zip(each.seeds, _losses(each, unit), strict=True)) for each in (group, base)]
        return [of_seed[0][seed] for seed in seeds], [of_seed[1][seed] for seed in seeds], True
    return _losses(group, unit), _losses(base, unit), False


def _difference(group: Group, base: Group, unit: Unit) -> Difference | None:
    own, others, paired = _compared(group, base, unit)
    return statistics.difference(own, others, paired=paired) if min(len(own), len(others)) > 1 else None


def _permutation(group: Group, base: Group, unit: Unit) -> statistics.Permutation:
    own, others, paired = _compared(group, base, unit)
    return statistics.permutation(own, others, paired=paired)


def _over_text(group: Group, base: Group, unit: Unit) -> Interval | None:
    """The interval over texts; None where windows are missing, too few, or not the same ones."""
    parts = [each.windows for each in (*group.measured, *base.measured) if each.windows is not None]
    runs = len(group.members)
    if unit == "bits/byte" or not runs or len(parts) < runs + len(base.members):
        return None
    counts = group.measured[0].predictions
    same = all(each.predictions == counts for each in (*group.measured, *base.measured))
    if counts is None or not same or any(len(each) != len(parts[0]) for each in parts):
        return None
    return statistics.over_text(np.stack(parts[:runs]), np.stack(parts[runs:]), np.asarray(counts, float))


def _shares(group: Group, base: Group, unit: Unit) -> dict[Axis, Share]:
    """By axis; empty where the curves are incomplete, or of windows of another length."""
    if not group.members or group.any.batches["block_size"] != base.any.batches["block_size"]:
        return {}
    same_seeds = pairs(group, base) == group.seeds == base.seeds
    found: dict[Axis, Share] = {}
    for axis in AXES:
        curve, of_base = curve_of(group, axis, unit), curve_of(base, axis, unit)
        if curve is not None and of_base is not None and float(of_base.at[:, -1].mean()) > 0:
            found[axis] = share_of_budget(curve, of_base, paired=same_seeds)
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


def _power(found: Difference, sides: tuple[Group, Group], equivalence: float | None, tests: int) -> Power:
    level = ALPHA / tests
    detectable = statistics.detectable(found, alpha=level)
    effect = equivalence or detectable / 2
    seeds = statistics.seeds_needed(found, effect, alpha=level) if effect else None
    costs = [(_cost(each), len(each.members)) for each in sides]
    minutes = None
    if seeds is not None:
        minutes = sum(max(0, seeds - done) * cost.seconds / 60 for cost, done in costs if cost is not None)
    return Power(detectable, level, effect, seeds, minutes)
