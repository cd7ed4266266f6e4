"""Whether the file of a sweep still says what was trained."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ml_playground.analysis.configs import learned_from
from ml_playground.config.sweep import Arm, Sweep
from ml_playground.errors import RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.sweep import SweepRecord, SweepRun
from ml_playground.utils.paths import display_path


def outdated(sweep: Sweep, record: SweepRecord, runs: list[Path]) -> Iterator[str]:
    """A remark if some arms have changed, were added or were removed since.

    Args:
        sweep: the file as it is now.
        record: what was planned when `sweep` ran.
        runs: the folders of the runs that are compared.
    """
    planned = {sweep.folder / run.folder: run for run in record.runs}
    trained = {planned[path].arm: planned[path] for path in runs}
    arms = {arm.name: arm for arm in sweep.arms}
    changed = [name for name, run in trained.items() if name in arms and _is_other(sweep, arms[name], record, run)]
    known = {arm.name for arm in record.arms}
    parts = (
        ("changed", changed),
        ("new", [name for name in arms if name not in known]),
        ("no longer there", [name for name in trained if name not in arms]),
    )
    if said := "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names):
        yield (
            f"{display_path(sweep.base.file.path)} has changed since its sweep was trained ({said}). What was trained "
            "is compared: 'sweep' trains what the file says now"
        )


def _is_other(sweep: Sweep, arm: Arm, record: SweepRecord, run: SweepRun) -> bool:
    """Whether an arm's runs would learn from other options now."""
    before = None
    with suppress(RunDirectoryError):
        before = Run(RunDirectory(sweep.folder / run.folder)).record
    if before is None:
        return False
    steps = record.arm(arm.name).max_iters
    if record.match == sweep.base.sweep.match == "steps":
        steps = sweep.config(arm).train.runtime.max_iters
    now = sweep.config(arm, sweep.stretched(arm, steps, run.horizon)).resolved()["train"]
    return learned_from(before.config["train"]) != learned_from(now)
