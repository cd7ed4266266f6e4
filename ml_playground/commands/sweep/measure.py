"""A few timed steps of each arm, which say how long the sweep will take, and how many steps match those of the base."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ml_playground.commands.sweep.folders import toml_text
from ml_playground.commands.sweep.plan import Plan, measure_key
from ml_playground.commands.sweep.workers import Task, Workers
from ml_playground.run.sweep import Measured, SweepRecord
from ml_playground.training.signals import StopSignals


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
        for task, outcome in workers.do(list(tasks), signals):
            name = tasks[task]
            found[name] = outcome.measured, found[name][1]
            if outcome.measured is None and outcome.status != "stopped":
                print(f"! arm {name}: its steps could not be timed: {outcome.message}")
    return found
