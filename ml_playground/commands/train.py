"""Train to the last step, resuming from `ckpt_last.pt` where there is one."""

import sys
from dataclasses import replace

from ml_playground.analysis.loss_svg import write_loss_svg
from ml_playground.analysis.reference import Reference, reference_path
from ml_playground.commands.build import Start, build_runtime, build_trainer, fresh_start, origin_of
from ml_playground.commands.recording import failed_start_recorded, record_start, summarised
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import RunDirectoryError, StoppedBySignalError, StorageError
from ml_playground.experiments import Experiment
from ml_playground.models.spec import spec_of
from ml_playground.run.checkpoint import Checkpoint, resume
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.records import RunRecord
from ml_playground.run.sinks import SinkStart, Telemetry
from ml_playground.run.toml_file import require_same_file
from ml_playground.runtime import Runtime, memory_errors_explained
from ml_playground.training.resume import Reconciled, reconcile
from ml_playground.training.schedules import schedule_warnings
from ml_playground.training.trainer import Trainer
from ml_playground.utils.paths import display_path
from ml_playground.utils.registry import use


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Train the experiment's model."""
    train(config)


@memory_errors_explained()
def train(config: ExperimentConfig, dataset: Dataset | None = None) -> None:
    """Train to the last step, resuming from `ckpt_last.pt` where there is one.

    Args:
        config: what to train, on what, how.
        dataset: the data, if it is open already.

    Raises:
        StoppedBySignalError: a signal ended it; everything is saved.
        PlaygroundError: something is in the way, and the message says what.
    """
    use(config.plugins)  # another configuration may have been loaded since
    settings = config.train.runtime
    run = RunDirectory(settings.out_dir)
    require_same_file(run, config.file)
    with run.lock():
        dataset = dataset or open_dataset(config.train.data.dataset_dir, config.prepare)
        runtime = build_runtime(settings)
        checkpoint = resume(run, print)
        resumed = checkpoint is not None
        _warn_of_nanogpt(config, run)
        with failed_start_recorded(run, checkpoint, settings.max_iters):
            trainer = _ready_trainer(config, dataset, runtime, run, checkpoint)
        record_start(config, run, runtime, trainer, dataset.manifest, resumed=resumed)
        _print_start(config, runtime, trainer, resumed=resumed)
        start = SinkStart(run, settings.max_iters, resumed, replace(trainer.progress))
        with summarised(run, trainer, settings.max_iters), Telemetry(settings.sinks, start) as telemetry:
            stopped_by = trainer.fit(telemetry)
        if stopped_by is None:
            _draw(run)
    _print_end(config, run, trainer)
    if stopped_by is not None:
        raise StoppedBySignalError(f"stopped by {stopped_by.name}; the same command resumes from here", stopped_by)


def _ready_trainer(
    config: ExperimentConfig,
    dataset: Dataset,
    runtime: Runtime,
    run: RunDirectory,
    checkpoint: Checkpoint | None,
) -> Trainer:
    """The trainer at the step of `checkpoint`, or of a new run where that is None."""
    if checkpoint is None:
        return build_trainer(config, dataset, runtime, run, fresh_start(config, dataset))
    resumed = _reconciled(config, dataset, run, checkpoint)
    for line in (*resumed.kept_lines(), *resumed.changed_lines()):
        print(line)
    trainer = build_trainer(config, dataset, runtime, run, Start(resumed.spec, resumed.origin))
    trainer.restore(checkpoint)
    return trainer


def _reconciled(config: ExperimentConfig, dataset: Dataset, run: RunDirectory, checkpoint: Checkpoint) -> Reconciled:
    """What the configuration and a checkpoint make of each other."""
    spec = spec_of(config.train, config.file.root).for_data(dataset.tokenizer)
    resumed = reconcile(checkpoint, spec, origin_of(config, dataset, spec))
    warning = resumed.spec.verify_identity(checkpoint.origin.model_identity, run.last_checkpoint.name)
    if warning is not None:
        print(warning, file=sys.stderr)
    return resumed


def _warn_of_nanogpt(config: ExperimentConfig, run: RunDirectory) -> None:
    """Print that nanoGPT's `ckpt.pt` is not resumed, unless the model begins with its weights."""
    nanogpt = run.nanogpt_checkpoint
    if nanogpt.exists() and config.train.model.model_dump().get("init_from") != str(nanogpt):
        print(
            f"! {display_path(nanogpt)}, a checkpoint of nanoGPT, is not resumed. To start from its weights: "
            f'[train.model] init_from = "{display_path(nanogpt)}" (docs/from_nanogpt.md)'
        )


def _print_start(config: ExperimentConfig, runtime: Runtime, trainer: Trainer, *, resumed: bool) -> None:
    """Print what is trained, on what, from where, and what of the schedule is likely not meant."""
    settings, model = config.train.runtime, trainer.model
    trained, everything = model.num_parameters(), sum(each.numel() for each in model.parameters())
    count = f"{trained:,}" if trained == everything else f"{trained:,} of {everything:,}"
    if resumed:
        begun = f"resuming from step {trainer.progress.step:,}"
    elif spec_of(config.train, config.file.root).from_scratch:
        begun = "from scratch"
    else:
        begun = "from the weights of another model"
    print(f"training {count} parameters on {runtime.device} in {settings.dtype}, {begun}")
    for warning in schedule_warnings(config.train.schedule, max_iters=settings.max_iters):
        print(f"! {warning}")


def _print_end(config: ExperimentConfig, run: RunDirectory, trainer: Trainer) -> None:
    """Print how far the run is and which checkpoint is the best."""
    settings, progress = config.train.runtime, trainer.progress
    print(f"{progress.step:,} of {settings.max_iters:,} steps done, saved in {display_path(run.path)}")
    if trainer.stopped_early:
        print(f"stopped early: {settings.early_stop_patience} evaluations without improvement")
    if progress.best_step >= 0:
        print(f"best validation loss {progress.best_val_loss:.4f}, at step {progress.best_step:,}")
    if (line := _as_expected(config, run, trainer.progress)) is not None:
        print(line)
    if trainer.best_is_of_an_earlier_run:
        with_adapters = ", and so is adapters/best" if run.adapters("best").exists() else ""
        print(
            f"ckpt_best.pt, which sample uses, is from an earlier run and better{with_adapters}; "
            "move it away to sample from this one"
        )


def _draw(run: RunDirectory) -> None:
    """Write `reports/loss.svg`; the training is done, whether or not the system lets this be written."""
    try:
        write_loss_svg(run)
    except StorageError as error:
        print(f"! {error}", file=sys.stderr)


def _as_expected(config: ExperimentConfig, run: RunDirectory, progress: Progress) -> str | None:
    """Whether the loss is what other runs of the configuration reached, where that is known."""
    try:
        reference = Reference.read(reference_path(config.file.path))
        record = None if reference is None else RunRecord.read(run.info)
    except RunDirectoryError as error:
        return f"! {error}"
    return None if reference is None or record is None else reference.verdict(record, progress)
