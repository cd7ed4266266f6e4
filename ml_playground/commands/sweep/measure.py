"""A few timed steps of each arm, which say how long the sweep will take, and how many steps match those of the base."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from ml_playground.commands.sweep.folders import toml_text
from ml_playground.commands.sweep.plan import Plan, measure_key
from ml_playground.commands.sweep.progress import in_short
from ml_playground.commands.sweep.workers import Task, Workers
from ml_playground.run.sweep import Measured, SweepRecord
from ml_playground.training.signals import StopSignals

_ROUNDS = 4  # over all arms, where they get the same seconds


def measure(
    plan: Plan, data: Mapping[str, str], before: SweepRecord | None, workers: Workers, signals: StopSignals
) -> dict[str, tuple[Measured | None, str]]:
    """Time a few steps of each arm; with a hash of what was measured.

    What an earlier command has measured is taken again: otherwise a sweep with `match = "seconds"` would get other
    lengths each time.

    Args:
        plan: the sweep.
        data: the fingerprint of each arm's data.
        before: what an earlier command has recorded.
        workers: to do it.
        signals: that end it.
    """
    known = {} if before is None else {arm.measured_for: arm.measured for arm in before.arms}
    found: dict[str, tuple[Measured | None, str]] = {}
    with TemporaryDirectory() as scratch:
        tasks: dict[Task, str] = {}
        for index, arm in enumerate(plan.sweep.arms):
            config = plan.config(arm, {})
            key = measure_key(config, data[arm.name], len(plan.jobs.environments))
            found[arm.name] = known.get(key), key
            if known.get(key) is None:
                path = Path(scratch) / f"{index}.toml"
                path.write_bytes(toml_text(config, path))
                tasks[plan.task("measure", path, plan.folder / "measure.log")] = arm.name
        failed: set[str] = set()
        alone = [[task] for _ in range(_ROUNDS) for task in tasks]  # not beside arms that other arms are not beside
        together = alone if plan.sweep.base.sweep.match == "seconds" else [list(tasks)]
        for task, outcome in chain.from_iterable(workers.do(each, signals) for each in together):
            (best, key), name = found[tasks[task]], tasks[task]
            if outcome.measured is not None:
                found[name] = _faster(best, outcome.measured), key
            elif outcome.status != "stopped" and name not in failed:
                failed.add(name)
                print(f"! arm {name}: its steps could not be timed: {in_short(outcome.message)}")
    return found


def _faster(one: Measured | None, other: Measured) -> Measured:
    """The one that other programs have disturbed less."""
    return other if one is None or other.fastest_step_seconds < one.fastest_step_seconds else one
