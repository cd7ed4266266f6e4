"""Train all arms of a sweep with all seeds, resuming where it was interrupted."""

from collections import Counter
from collections.abc import Mapping

from ml_playground.commands.sweep import halving
from ml_playground.commands.sweep.home import file_name, locked_home
from ml_playground.commands.sweep.measure import measure
from ml_playground.commands.sweep.plan import Plan, matched_steps
from ml_playground.commands.sweep.progress import Progress, listed
from ml_playground.commands.sweep.train import Training
from ml_playground.commands.sweep.workers import Workers
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sweep import Sweep
from ml_playground.errors import PlaygroundError, StoppedBySignalError
from ml_playground.experiments import Experiment
from ml_playground.run.records import utc_now
from ml_playground.run.sweep import Measured, SweepArm, SweepRecord
from ml_playground.training.schedules import schedule_warnings
from ml_playground.training.signals import StopSignals
from ml_playground.utils.paths import display_path
from ml_playground.utils.text import duration


def run(experiment: Experiment, config: ExperimentConfig) -> None:
    """Train what `[sweep]` describes.

    Raises:
        PlaygroundError: the file describes no sweep, another process is at it, or nothing can be trained.
        StoppedBySignalError: a signal ended it; everything is saved.
    """
    if not config.sweep.seeds:
        raise PlaygroundError(
            f"{display_path(config.file.path)} has no [sweep]. Write a TOML file that extends it, with\n"
            '[sweep]\nseeds = [1, 2, 3]\n[sweep.arms]\nrope = { train.model.position = "rope" }\n'
            "where rope is a name of yours before what it changes, and pass it with --exp-config."
        )
    sweep = Sweep(config.file.path, name=experiment.name, folder=experiment.folder)
    plan = Plan(sweep, experiment)
    with locked_home(plan.folder, config.file) as before:
        data = plan.prepare()
        with StopSignals() as signals, Workers(plan.jobs.environments) as workers:
            measured = measure(plan, data, before, workers, signals)
            _raise_if_stopped(signals, "nothing is trained yet")
            training = Training(plan, _record(plan, measured), data)
            training.drop_known()
            left = training.left()
            _print_plan(plan, training, runs_left=len(left))
            total = sum(halving.arms_at(training.record).values()) * len(config.sweep.seeds)
            done = len(training.record.runs) - len(left)
            with Progress(jobs=len(plan.jobs.environments), done=done, runs=total) as progress:
                progress.expect({each.folder: training.seconds(each) for each in left})
                training.run(workers, signals, progress)
            _raise_if_stopped(signals, f"{progress.done} of {progress.runs} runs are done")
    print(_last_line(plan, training.states()))


def _record(plan: Plan, measured: Mapping[str, tuple[Measured | None, str]]) -> SweepRecord:
    """The plan, as others read it."""
    sweep, settings = plan.sweep, plan.sweep.base.sweep
    steps = matched_steps(sweep, {name: found for name, (found, _) in measured.items()})
    return SweepRecord(
        toml=file_name(plan.folder, sweep.base.file),
        time=utc_now(),
        match=settings.match,
        seeds=settings.seeds,
        horizons=settings.horizons,
        halving=settings.halving,
        jobs=len(plan.jobs.environments),
        arms=[
            SweepArm(arm.name, sweep.overrides(arm), arm.point, steps[arm.name], *measured[arm.name])
            for arm in sweep.arms
        ],
        runs=list(plan.runs(steps)),
    )


def _print_plan(plan: Plan, training: Training, *, runs_left: int) -> None:
    """Print what will be trained, and how long that will take."""
    record, settings = training.record, plan.sweep.base.sweep
    base, *others = record.arms
    if settings.match != "steps":
        steps = ", ".join(f"{arm.name} {arm.max_iters:,}" for arm in others)
        print(f"steps for the same {settings.match} as the {base.max_iters:,} of the base: {steps}")
    warned: dict[str, list[str]] = {}
    for arm in record.arms:
        config = plan.config(plan.arm(arm.name), plan.sweep.stretched(plan.arm(arm.name), arm.max_iters, 1.0))
        for warning in schedule_warnings(config.train.schedule, max_iters=arm.max_iters):
            warned.setdefault(warning, []).append(arm.name)
    for warning, names in warned.items():
        print(f"! {listed(names)}: {warning}")
    counts = halving.arms_at(record)
    arms, seeds = list(counts.values()), len(record.seeds)
    product = f"{' + '.join(map(str, arms))} arm{'s' * (arms != [1])} x {seeds} seed{'s' * (seeds != 1)}"
    total = sum(counts.values()) * len(record.seeds)
    done = len(record.runs) - runs_left
    share = {horizon: count / counts[record.horizons[0]] for horizon, count in counts.items()}
    seconds = sum(training.seconds(run) * share[run.horizon] for run in training.left())
    jobs, threads = len(plan.jobs.environments), plan.jobs.threads or plan.sweep.base.train.runtime.threads
    each = f" of {threads} thread{'s' if threads > 1 else ''}" if threads else ""
    already = f", {done:,} of them done" if done else ""
    print(
        f"{total:,} runs ({product}){already}: about {duration(seconds / jobs)} "
        f"with {jobs} job{'s' if jobs > 1 else ''}{each}, in {display_path(plan.folder)}",
        flush=True,
    )


def _raise_if_stopped(signals: StopSignals, how_far: str) -> None:
    if signals.received is not None:
        raise StoppedBySignalError(
            f"stopped by {signals.received.name}: {how_far}; the same command resumes from here", signals.received
        )


def _last_line(plan: Plan, states: Mapping[str, str]) -> str:
    """How many runs ended how, and which did not end well."""
    counts = Counter(states.values()).most_common()
    how = ", ".join(f"{count:,} {status}" for status, count in counts)
    others = [folder for folder, status in states.items() if status != "finished"]
    return f"{len(states):,} runs in {display_path(plan.folder)}: {how}{f' ({listed(others)})' if others else ''}"
