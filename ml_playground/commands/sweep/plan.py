"""What a sweep trains: the configuration of each run, on what data, for how many steps."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from ml_playground import experiments
from ml_playground.commands.sweep.folders import RunFolder
from ml_playground.commands.sweep.jobs import jobs_for
from ml_playground.commands.sweep.progress import listed
from ml_playground.commands.sweep.workers import Task
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.paths import relative_paths
from ml_playground.config.sections import Match
from ml_playground.config.sweep import Arm, Sweep
from ml_playground.data.manifest import read_manifest
from ml_playground.errors import PlaygroundError
from ml_playground.experiments import Experiment
from ml_playground.run.sweep import Measured, SweepRun
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table, has_key, merge


class Plan:
    """A sweep on this machine.

    Attributes:
        sweep: its file.
        jobs: what trains it.
        folder: where its runs are.
    """

    def __init__(self, sweep: Sweep, experiment: Experiment) -> None:
        self.sweep, self.folder, self.jobs = sweep, sweep.folder, jobs_for(sweep.base)
        self._experiment = experiment

    def task(self, what: Literal["train", "measure"], config: Path, log: Path) -> Task:
        """What a worker is to do."""
        return Task(what, config, self._experiment.name, self._experiment.folder, log)

    def run_folder(self, run: SweepRun) -> RunFolder:
        """The directory of a run."""
        return RunFolder(self.folder / run.folder, self._experiment)

    def prepare(self) -> dict[str, str]:
        """Make the data of all arms, each distinct kind once; the fingerprint of that of each arm.

        Raises:
            PlaygroundError: one cannot be made.
        """
        made: dict[Path, str] = {}
        found: dict[str, str] = {}
        for arm in self.sweep.arms:
            config = self.config(arm, {})
            folder = config.train.data.dataset_dir
            if folder not in made:
                try:
                    experiments.prepare(self._experiment, config.prepare)
                except PlaygroundError as error:
                    raise PlaygroundError(f"arm {arm.name}: {error}") from error
                manifest = read_manifest(folder)
                made[folder] = "" if manifest is None else manifest.fingerprint
            found[arm.name] = made[folder]
        return found

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.sweep.arms if arm.name == name)

    def chooses_threads(self, arm: str) -> bool:
        """Whether the file leaves the number of threads of an arm's runs open."""
        return self.sweep.config(self.arm(arm)).train.runtime.threads == 0

    def _data_of(self, arm: Arm) -> Table:
        """The changes that have an arm's data prepared beside the base's, in a folder for each distinct `[prepare]`."""
        base, config = self.sweep.base, self.sweep.config(arm)
        raw_dir = base.prepare.raw_dir
        if has_key(arm.overrides, ("prepare", "raw_dir")):
            raw_dir = config.prepare.raw_dir
        described = config.prepare.model_dump(exclude={"dataset_dir", "raw_dir"})
        if raw_dir == base.prepare.raw_dir and described == base.prepare.model_dump(exclude={"dataset_dir", "raw_dir"}):
            return {}
        digest = _digest(relative_paths({**described, "raw_dir": raw_dir}, base.file.root))
        folder = self.sweep.folder / "data" / f"{config.prepare.tokenizer.kind}-{digest[:8]}"
        return {"prepare": {"dataset_dir": folder, "raw_dir": raw_dir}, "train": {"data": {"dataset_dir": folder}}}

    def config(self, arm: Arm, also: Table) -> ExperimentConfig:
        """The configuration of an arm's runs, with its data and threads.

        Raises:
            ConfigError: it is not sound for so many steps.
        """
        threads = self.sweep.config(arm).train.runtime.threads or self.jobs.threads
        own = merge(self._data_of(arm), {"train": {"runtime": {"threads": threads}}})
        return self.sweep.config(arm, merge(own, also))

    def run_config(self, run: SweepRun, steps: int) -> ExperimentConfig:
        """The configuration of a run; `steps` is its arm's `max_iters`."""
        arm = self.arm(run.arm)
        where = {"runtime": {"out_dir": self.sweep.folder / run.folder}}
        also = {"train": {"runtime": {**where["runtime"], "seed": run.seed}}, "sample": where}
        return self.config(arm, merge(self.sweep.stretched(arm, steps, run.horizon), also))

    def runs(self, steps: Mapping[str, int]) -> Iterator[SweepRun]:
        """All runs, round-robin over the arms, so that an interrupted sweep has as much of each."""
        settings = self.sweep.base.sweep
        for horizon in settings.horizons:
            length = "" if horizon == 1.0 else f"horizon-{horizon:g}/"
            for seed in settings.seeds:
                for arm in self.sweep.arms:
                    max_iters = max(1, round(steps[arm.name] * horizon))
                    yield SweepRun(arm.name, seed, horizon, max_iters, f"{arm.name}/{length}seed-{seed}")


def matched_steps(sweep: Sweep, measured: Mapping[str, Measured | None]) -> dict[str, int]:
    """The `max_iters` of each arm, so that all get what `[sweep] match` says.

    Raises:
        PlaygroundError: that follows from what could not be measured.
    """
    match, base = sweep.base.sweep.match, sweep.base.train.runtime.max_iters
    configs = {arm.name: sweep.config(arm).train for arm in sweep.arms}
    if match == "steps":
        return {name: config.runtime.max_iters for name, config in configs.items()}
    if match == "tokens":
        costs = {name: float(config.data.tokens_per_step) for name, config in configs.items()}
    else:
        costs = {name: _cost(found, match) for name, found in measured.items() if found is not None}
    if lacking := [name for name in configs if not costs.get(name)]:
        cause = "their timed steps failed" if match == "seconds" else "no steps could be measured, or FLOPs estimated"
        raise PlaygroundError(
            f'[sweep] match = "{match}" needs what a step of every arm takes, which is unknown for {listed(lacking)}: '
            f"{cause} (see measure.log in {display_path(sweep.folder)}). Correct or remove them, then run the same "
            "command again. Nothing is trained yet."
        )
    of_base = costs[sweep.arms[0].name]
    return {name: max(1, round(base * of_base / cost)) for name, cost in costs.items()}


def _cost(measured: Measured, match: Match) -> float:
    """What one step takes, in FLOPs or seconds."""
    if match == "seconds":
        return measured.fastest_step_seconds
    return float(measured.tokens_per_step * measured.flops_per_token)


def measure_key(config: ExperimentConfig, data: str, jobs: int) -> str:
    """A hash of what the steps of a configuration depend on; `data` is the fingerprint of its data."""
    return _digest([config.resolved(), data, jobs])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode(errors="backslashreplace")).hexdigest()
