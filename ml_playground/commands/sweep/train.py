"""Training the runs of a plan that are not done."""

import math
from collections.abc import Callable, Iterable, Sequence

from ml_playground.commands.sweep import halving
from ml_playground.commands.sweep.plan import Plan
from ml_playground.commands.sweep.progress import Progress, in_short, listed
from ml_playground.commands.sweep.workers import Outcome, Task, Workers
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.run.records import Summary
from ml_playground.run.sweep import SweepRecord, SweepRun
from ml_playground.training.signals import StopSignals
from ml_playground.utils.paths import display_path

_DONE = ("finished", "diverged")
_REASONS = 4  # in a line


class Training:
    """The runs of a plan, as they are trained."""

    def __init__(self, plan: Plan, record: SweepRecord, data: dict[str, str]) -> None:
        """Plan them; `data` is the fingerprint of each arm's data."""
        self._plan, self.record, self._data = plan, record, data
        self._stages = halving.stages(record)
        self._dropped_after: set[float] = set()
        self._configs: dict[str, ExperimentConfig] = {}
        self._steps = {arm.name: arm.max_iters for arm in record.arms}

    def states(self) -> dict[str, str]:
        """How far each run is, by its folder."""
        return self.record.states(self._plan.folder)

    def left(self) -> list[SweepRun]:
        """The runs that are not done."""
        return [run for run in self.record.runs if not self._is_done(run)]

    def seconds(self, run: SweepRun) -> float:
        """What a run is expected to take from now on; as the base where its arm could not be timed."""
        base, *_ = self.record.arms
        measured = self.record.arm(run.arm).measured or base.measured
        if measured is None:
            return 0.0
        config, summary = self._config(run), self._plan.run_folder(run).summary
        steps = run.max_iters - (0 if summary is None else summary.progress.step)
        evaluations = 1 + -(-max(0, steps) // config.train.runtime.eval_interval)
        return max(0, steps) * measured.step_seconds + evaluations * measured.evaluation_seconds

    def run(self, workers: Workers, signals: StopSignals, progress: Progress) -> None:
        """Do them, with halving those of a horizon after the other, until a signal comes.

        Raises:
            PlaygroundError: something is in the way of all runs, such as a full disk.
        """
        for horizons in self._stages:
            self.record.write(self._plan.folder)
            runs = [run for run in self.record.runs if run.horizon in horizons]
            self._do(self._ready(runs, progress), workers, signals, progress)
            if signals.received is not None:
                return
            if self._drop_after(horizons, progress.write):
                progress.expect({run.folder: self.seconds(run) for run in self.left()})
        self.record.write(self._plan.folder)

    def drop_known(self) -> None:
        """Drop the arms of which it is known already that halving drops them."""
        for horizons in self._stages:
            if all(self._is_done(run) for run in self.record.runs if run.horizon in horizons):
                self._drop_after(horizons, print)
            else:
                return

    def _do(self, runs: Sequence[SweepRun], workers: Workers, signals: StopSignals, progress: Progress) -> None:
        """Do some runs, whose folders are ready."""
        tasks: dict[Task, SweepRun] = {}
        for run in runs:
            folder = self._plan.run_folder(run)
            tasks[self._plan.task("train", folder.config, folder.log)] = run
        ended = workers.do(
            list(tasks),
            signals,
            begin=lambda task: progress.begin(tasks[task]),
            show=lambda current: progress.show([tasks[task] for task in current]),
        )
        for task, outcome in ended:
            run = tasks[task]
            if outcome.status == "failed":
                self._plan.run_folder(run).mark_failed(run.max_iters)
            if outcome.status != "stopped":
                progress.end(run, self._result(run, outcome), remarkable=outcome.status != "finished")

    def _result(self, run: SweepRun, outcome: Outcome) -> str:
        if outcome.status == "finished":
            summary = self._finished(run)
            assert summary is not None  # it is
            return f"validation loss {summary.progress.val_loss:.4f}"
        return f"{outcome.status}: {in_short(outcome.message)}"

    def _ready(self, runs: Iterable[SweepRun], progress: Progress) -> list[SweepRun]:
        """Those of some runs that are not done, each with its TOML file; what belongs to another is set aside."""
        todo: list[SweepRun] = []
        again: dict[tuple[str, ...], list[str]] = {}
        for run in runs:
            if self._is_done(run):
                continue
            folder, config = self._plan.run_folder(run), self._config(run)
            reasons = folder.changes(config, self._data[run.arm], any_threads=self._plan.chooses_threads(run.arm))
            if reasons:
                folder.set_aside(self._plan.folder / "replaced", run.folder.replace("/", "-"))
                again.setdefault(reasons, []).append(run.folder)
            if not folder.config.exists():
                folder.write_config(config)
            todo.append(run)
        for reasons, names in again.items():
            why = "; ".join(reasons[:_REASONS]) + ("; ..." if len(reasons) > _REASONS else "")
            aside = display_path(self._plan.folder / "replaced")
            progress.write(f"again: {listed(names)}, where {why}. What was there is now in {aside}.")
        return todo

    def _is_done(self, run: SweepRun) -> bool:
        """Whether a run with its present configuration and data has finished, or diverged, as it would again."""
        folder = self._plan.run_folder(run)
        if folder.summary is None or folder.summary.status not in _DONE:
            return False
        config = self._config(run)
        return not folder.changes(config, self._data[run.arm], any_threads=self._plan.chooses_threads(run.arm))

    def _drop_after(self, horizons: Sequence[float], report: Callable[[str], None]) -> bool:
        """Drop the arms that halving leaves out once these horizons are done; False if none, or they are already."""
        *_, horizon = horizons
        if horizon in self._dropped_after or horizon == self.record.horizons[-1]:
            return False
        self._dropped_after.add(horizon)
        losses: dict[str, dict[int, float]] = {}
        for run in (each for each in self.record.runs if each.horizon == horizon):
            of_arm, summary = losses.setdefault(run.arm, {}), self._plan.run_folder(run).summary
            if summary is not None and summary.status in _DONE:  # in bits per byte, which compares tokenizers too
                of_arm[run.seed] = summary.progress.bits_per_byte if summary.status == "finished" else math.inf
        self.record, dropped = halving.without_the_worst(self.record, horizon, losses)
        out = {each.arm for each in dropped}
        means = halving.mean_losses(losses)
        named = {arm: f"{arm} ({f'{mean:.4f}' if math.isfinite(mean) else 'no loss'})" for arm, mean in means.items()}
        kept, gone = (", ".join(named[arm] for arm in named if (arm in out) is is_out) for is_out in (False, True))
        report(f"mean bits/byte at horizon {horizon:g}: kept {kept}; dropped {gone or 'none'}")
        return True

    def _config(self, run: SweepRun) -> ExperimentConfig:
        if run.folder not in self._configs:
            self._configs[run.folder] = self._plan.run_config(run, self._steps[run.arm])
        return self._configs[run.folder]

    def _finished(self, run: SweepRun) -> Summary | None:
        summary = self._plan.run_folder(run).summary
        return summary if summary is not None and summary.status == "finished" else None
