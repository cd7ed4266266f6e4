"""Dropping arms between horizons, each of which is trained completely: no run is judged before its end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ml_playground.run.sweep import Dropped, SweepRecord


def stages(record: SweepRecord) -> list[list[float]]:
    """The horizons that are trained before arms are dropped, then those after that, and so on."""
    return [[horizon] for horizon in record.horizons] if record.halving else [record.horizons]


def arms_at(record: SweepRecord) -> dict[float, int]:
    """How many arms each horizon will have, the base among them."""
    others, counts = len(record.arms) - 1, dict[float, int]()
    for horizon in record.horizons:
        counts[horizon] = 1 + others
        if record.halving:
            others = _kept(others, record.halving)
    return counts


def _kept(arms: int, halving: int) -> int:
    return -(-arms // halving)


def without_the_worst(
    record: SweepRecord, horizon: float, losses: Mapping[str, Sequence[float]]
) -> tuple[SweepRecord, list[Dropped]]:
    """The plan without the arms that halving drops after a horizon, and these.

    Args:
        record: the plan.
        horizon: the one that is done.
        losses: the final losses of each arm there, over the seeds, in bits per byte; NaN where a run has none.
    """
    base, *others = (arm.name for arm in record.arms if arm.name in losses)
    means = {name: mean_loss(losses[name]) for name in (base, *others)}
    ranked = sorted(others, key=lambda name: means[name])  # those that are equal in the order of the file
    kept = {base, *ranked[: _kept(len(others), record.halving)]}
    best = min(means.values())
    dropped = [Dropped(name, horizon, _or_none(means[name]), _or_none(best)) for name in ranked if name not in kept]
    runs = [run for run in record.runs if run.horizon <= horizon or run.arm in kept]
    return replace(record, runs=runs, dropped=[*record.dropped, *dropped]), dropped


def mean_loss(losses: Sequence[float]) -> float:
    """The mean of final losses; infinite where one is NaN."""
    mean = sum(losses) / len(losses)
    return mean if math.isfinite(mean) else math.inf


def _or_none(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
