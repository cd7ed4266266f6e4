"""What an experiment is, what it would do, and what is there of it already."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sweep import Sweep
from ml_playground.data.manifest import Manifest, differences, read_manifest
from ml_playground.errors import DataError, RunDirectoryError
from ml_playground.experiments import Experiment
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run, StoredCheckpoint
from ml_playground.run.sweep import SweepRecord
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table, toml_lines


def run(experiment: Experiment, config: ExperimentConfig) -> None:
    """Print a page of text: purpose, data, model, training, what exists on disk, and the resolved configuration."""
    manifest, missing = None, f"not prepared yet (will be in {display_path(config.train.data.dataset_dir)})"
    try:
        manifest = read_manifest(config.train.data.dataset_dir)
    except DataError as error:
        missing = str(error)
    lines = [
        f"{experiment.name}: {experiment.summary()}",
        "",
        f"data      {missing if manifest is None else _data(config, manifest)}",
        f"model     {_model(config, manifest)}",
        f"training  {_training(config, manifest)}",
        *(_sweep(experiment, config) if config.sweep.seeds else _runs(experiment, config)),
        "",
        *toml_lines(_resolved(config)),
    ]
    print("\n".join(lines))


def _resolved(config: ExperimentConfig) -> Table:
    """The configuration, without the section that has no say in the model."""
    resolved, idle = config.resolved(), spec_of(config.train, config.file.root).idle_sections
    train = {name: table for name, table in resolved["train"].items() if name not in idle}
    return {**resolved, "train": train}


def _data(config: ExperimentConfig, manifest: Manifest) -> str:
    stale = differences(manifest, config.prepare)
    state = f"stale: {'; '.join(stale)}" if stale else "up to date"
    return (
        f"{manifest.train.tokens:,} training and {manifest.val.tokens:,} validation tokens, "
        f"vocabulary of {manifest.vocab_size:,} ({state})"
    )


def _model(config: ExperimentConfig, manifest: Manifest | None) -> str:
    return spec_of(config.train, config.file.root).summary(None if manifest is None else manifest.vocab_size)


def _training(config: ExperimentConfig, manifest: Manifest | None) -> str:
    data, steps = config.train.data, config.train.runtime.max_iters
    per_step = data.tokens_per_step
    epochs = f" = {per_step * steps / manifest.train.tokens:.2f} epochs" if manifest else ""
    return f"{per_step:,} tokens per step, {steps:,} steps: {per_step * steps:,} tokens{epochs}"


def _sweep(experiment: Experiment, config: ExperimentConfig) -> Iterator[str]:
    """Where a sweep's runs go, how many of them are finished, and how far those of each arm are."""
    sweep, record = Sweep(config.file.path, name=experiment.name, folder=experiment.folder), None
    with suppress(RunDirectoryError):  # damaged: 'sweep' writes it again
        record = SweepRecord.read(sweep.folder)
    settings, states = config.sweep, {} if record is None else record.states(sweep.folder)
    to_come = ["to come"] * len(settings.seeds) * len(settings.horizons)
    arms: dict[str, list[str]] = {}
    for arm in sweep.arms:
        begun = [] if record is None else [states[run.folder] for run in record.runs if run.arm == arm.name]
        arms[arm.name] = begun or to_come
    everything = [state for each in arms.values() for state in each]
    finished = f"{everything.count('finished'):,} of {len(everything):,} runs finished"
    yield f"sweep     {display_path(sweep.folder)}: {finished}"
    yield f"{'seeds':10}{', '.join(map(str, settings.seeds))}"
    if len(settings.horizons) > 1:
        yield f"{'horizons':10}{', '.join(f'{each:g}' for each in settings.horizons)}"
    dropped = {} if record is None else {each.arm: each.horizon for each in record.dropped}
    for number, (name, of_arm) in enumerate(arms.items()):
        counts = ", ".join(f"{count:,} {state}" for state, count in Counter(of_arm).items())
        end = f", dropped after horizon {dropped[name]:g}" if name in dropped else ""
        yield f"{'' if number else 'arms':10}{name:{max(map(len, arms))}}  {counts}{end}"


def _runs(experiment: Experiment, config: ExperimentConfig) -> Iterator[str]:
    run = RunDirectory(config.train.runtime.out_dir)
    yield from _files(run)
    yield from _other_runs(run, experiment.output / "out")


def _files(run: RunDirectory) -> Iterator[str]:
    checkpoints = list(Run(run).checkpoints())
    by_nanogpt = run.nanogpt_checkpoint.exists()
    yield f"run       {display_path(run.path)}{'' if checkpoints or by_nanogpt else ': no checkpoints yet'}"
    for each in checkpoints:
        yield f"          {each.path.name}  {each.path.stat().st_size / 2**20:.1f} MiB{_standing(each)}"
    if by_nanogpt:
        size = run.nanogpt_checkpoint.stat().st_size
        yield f"          {run.nanogpt_checkpoint.name}  {size / 2**20:.1f} MiB  (written by nanoGPT)"
    for folder in (run.adapters("best"), run.adapters("last"), run.adapters("final"), run.merged):
        if folder.exists():
            yield f"          {folder.relative_to(run.path)}/"
    if run.samples.is_file():
        with run.samples.open("rb") as lines:
            yield f"          {run.samples.name}  {sum(1 for _ in lines):,} samples"


def _other_runs(run: RunDirectory, out: Path) -> Iterator[str]:
    """A line for each of the experiment's other runs, and of those beside this one."""
    folders = dict.fromkeys([out, run.path.parent])
    others = [each for folder in folders for each in RunDirectory.all_in(folder) if each.path != run.path]
    width = max((len(display_path(each.path)) for each in others), default=0)
    for number, each in enumerate(others):
        yield f"{'' if number else 'others':10}{display_path(each.path):{width}}  {_summary(each)}"


def _summary(run: RunDirectory) -> str:
    try:
        summary = Run(run).summary
    except RunDirectoryError:
        return f"{run.summary.name} is damaged"
    if summary is None:
        return "not finished yet"
    progress, status, best = summary.progress, summary.status, ""
    if progress.best_step >= 0:
        best = f", best validation loss {progress.best_val_loss:.4f} at step {progress.best_step:,}"
    return f"step {progress.step:,}{best}{'' if status == 'finished' else f', {status}'}"


def _standing(checkpoint: StoredCheckpoint) -> str:
    if checkpoint.problem is not None:
        return f"  {checkpoint.problem}"
    progress = checkpoint.progress
    return "" if progress is None else f"  step {progress.step:,}, validation loss {progress.val_loss:.4f}"
