"""Dropping arms between horizons, each of which is trained completely: no run is judged before its end."""

import math
from collections.abc import Mapping
from dataclasses import replace

from ml_playground.run.sweep import Dropped, SweepRecord

Losses = Mapping[int, float]
"""Final losses of an arm by seed, in bits per byte: infinite where the run diverged, left out where it failed."""


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
    record: SweepRecord, horizon: float, losses: Mapping[str, Losses]
) -> tuple[SweepRecord, list[Dropped]]:
    """The plan without the arms that halving drops after a horizon, and these.

    Arms without a diverged run come first, by their mean loss over the seeds that all of them have finished: a run that
    failed otherwise, such as one whose process was killed, is not held against its arm.

    Args:
        record: the plan.
        horizon: the one that is done.
        losses: of each arm there.
    """
    base, *others = (arm.name for arm in record.arms if arm.name in losses)
    means = mean_losses(losses)
    diverged = {name: sum(math.isinf(loss) for loss in losses[name].values()) for name in others}
    ranked = sorted(others, key=lambda name: (means[name], diverged[name]))  # equal ones in the order of the file
    kept = {base, *ranked[: _kept(len(others), record.halving)]}
    best = min(means.values())
    dropped = [Dropped(name, horizon, _or_none(means[name]), _or_none(best)) for name in ranked if name not in kept]
    runs = [run for run in record.runs if run.horizon <= horizon or run.arm in kept]
    return replace(record, runs=runs, dropped=[*record.dropped, *dropped]), dropped


def mean_losses(losses: Mapping[str, Losses]) -> dict[str, float]:
    """The mean of each arm over the seeds that all have, infinite where a run has diverged or none is finished.

    Arms without a finished run, or with a diverged one, do not count for which seeds all have. If there are none, each
    mean is over the arm's own.
    """
    sound = [set(each) for each in losses.values() if each and all(map(math.isfinite, each.values()))]
    common = sound[0].intersection(*sound) if sound else set[int]()
    means: dict[str, float] = {}
    for name, of_arm in losses.items():
        taken = [loss for seed, loss in of_arm.items() if seed in common or not common or math.isinf(loss)]
        means[name] = sum(taken) / len(taken) if taken else math.inf
    return means


def _or_none(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
