"""Train to the last step, resuming from `ckpt_last.pt` where there is one."""

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import torch

from ml_playground.commands.build import (
    Start,
    build_runtime,
    build_trainer,
    fresh_start,
    origin_of,
)
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import DivergedError, PlaygroundError, RunDirectoryError, StoppedBySignalError
from ml_playground.experiments import Experiment
from ml_playground.models.spec import spec_of
from ml_playground.run.checkpoint import Checkpoint, resume
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.records import RunRecord, Status, Summary
from ml_playground.run.sinks import SinkStart, Telemetry
from ml_playground.run.surroundings import commit_of, machine
from ml_playground.run.toml_file import file_name, require_same_file
from ml_playground.runtime import (
    Runtime,
    device_name,
    memory_errors_explained,
)
from ml_playground.training.resume import Reconciled, reconcile, rounding_warning
from ml_playground.training.schedules import schedule_warnings
from ml_playground.training.trainer import Trainer
from ml_playground.utils.files import unused_name, write_json
from ml_playground.utils.paths import shown


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
    """
    settings = config.train.runtime
    run = RunDirectory(settings.out_dir)
    require_same_file(run, config.file)
    with run.lock():
        dataset = dataset or open_dataset(config.train.data.dataset_dir, config.prepare)
        runtime = build_runtime(settings)
        checkpoint = resume(run, print)
        nanogpt = run.nanogpt_checkpoint
        if nanogpt.exists() and config.train.model.model_dump().get("init_from") != str(nanogpt):
            print(
                f"! {shown(nanogpt)}, a checkpoint of nanoGPT, is not resumed. To start from its weights: "
                f'[train.model] init_from = "{shown(nanogpt)}" (docs/from_nanogpt.md)'
            )
        try:
            trainer = _ready_trainer(config, dataset, runtime, run, checkpoint)
        except PlaygroundError:  # nothing has begun
            raise
        except Exception:
            if run.summary.exists():  # of a start before, which may have finished
                _mark_failed(run, Progress() if checkpoint is None else checkpoint.progress, settings.max_iters)
            raise
        _record_start(config, run, runtime, trainer, resumed=checkpoint is not None)
        trained, all_of_them = trainer.model.num_parameters(), sum(each.numel() for each in trainer.model.parameters())
        count = f"{trained:,}" if trained == all_of_them else f"{trained:,} of {all_of_them:,}"
        print(f"training {count} parameters on {runtime.device} in {settings.dtype}", end=", ")
        begun = (
            "from scratch"
            if spec_of(config.train, config.file.root).from_scratch
            else "from the weights of another model"
        )
        print(f"resuming from step {trainer.progress.step:,}" if checkpoint else begun)
        for warning in schedule_warnings(config.train.schedule, max_iters=settings.max_iters):
            print(f"! {warning}")
        start = SinkStart(run, settings.max_iters, checkpoint is not None, replace(trainer.progress))
        with _summarised(run, trainer, settings.max_iters), Telemetry(settings.sinks, start) as telemetry:
            stopped_by = trainer.fit(telemetry)
    print(f"{trainer.progress.step:,} of {settings.max_iters:,} steps done, saved in {shown(run.path)}")
    if trainer.stopped_early:
        print(f"stopped early: {settings.early_stop_patience} evaluations without improvement")
    if trainer.progress.best_step >= 0:
        print(f"best validation loss {trainer.progress.best_val_loss:.4f}, at step {trainer.progress.best_step:,}")
    if trainer.best_is_of_an_earlier_run:
        with_adapters = ", and so is adapters/best" if run.adapters("best").exists() else ""
        print(
            f"ckpt_best.pt, which sample takes, is of an earlier run and better{with_adapters}; "
            "move it away to sample from this one"
        )
    if stopped_by is not None:
        raise StoppedBySignalError(f"stopped by {stopped_by.name}; the same command resumes from here", stopped_by)


def _reconciled(config: ExperimentConfig, dataset: Dataset, run: RunDirectory, checkpoint: Checkpoint) -> Reconciled:
    """What the configuration and a checkpoint make of each other."""
    spec = spec_of(config.train, config.file.root).for_data(dataset.tokenizer)
    resumed = reconcile(checkpoint, spec, origin_of(config, dataset, spec))
    warning = resumed.spec.verify_identity(checkpoint.origin.model_identity, run.last_checkpoint.name)
    if warning is not None:
        print(warning, file=sys.stderr)
    return resumed


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


@contextmanager
def _summarised(run: RunDirectory, trainer: Trainer, max_iters: int) -> Generator[None]:
    """Write to `summary.json` that the run is running, and in the end how it ended. If killed, it stays "running"."""
    _summary(trainer.progress, "running", max_iters).write(run.summary)
    try:
        yield
    except BaseException as error:
        status: Status = "failed"
        if isinstance(error, DivergedError):
            status = "diverged"
        elif isinstance(error, KeyboardInterrupt):
            status = "stopped"
        _mark_failed(run, trainer.progress, max_iters, status)
        raise
    _summary(trainer.progress, "finished" if trainer.finished else "stopped", max_iters).write(run.summary)


def _mark_failed(run: RunDirectory, progress: Progress, max_iters: int, status: Status = "failed") -> None:
    """Write how a run ended that an error ended. That error matters more than one here, such as of a full disk."""
    with suppress(OSError, PlaygroundError):
        run.require()
        _summary(progress, status, max_iters).write(run.summary)


def _summary(progress: Progress, status: Status, max_iters: int) -> Summary:
    return Summary(status, _now(), max_iters, progress)


def _record_start(
    config: ExperimentConfig, run: RunDirectory, runtime: Runtime, trainer: Trainer, *, resumed: bool
) -> None:
    """Write what runs, and on what, to `run.json` and `tokenizer/`; a resumed run adds to the list of its starts."""
    origin, threads = trainer.origin, torch.get_num_threads()
    before = _earlier_record(run) if resumed else None
    if before is not None and before.threads != threads:
        print(rounding_warning("threads", before.threads, threads))
    for folder in (run.tokenizer.parent, run.tensorboard.parent, run.tensorboard):
        if (aside := run.clear_folder(folder)) is not None:
            print(
                f"! {folder.name} is a file, where a folder of the run belongs; it is now {aside.name}", file=sys.stderr
            )
    write_json(run.tokenizer, origin.tokenizer)
    record = RunRecord(
        toml=file_name(run, config.file),
        config=origin.config,
        model_args=origin.model_args,
        model_identity=origin.model_identity,
        data=origin.data,
        parameters=trainer.model.num_parameters(),
        versions=origin.versions,
        commit=commit_of(config.file.root),
        machine=machine(device_name(runtime.device)),
        threads=threads,
    )
    record.started(trainer.progress.step, _now(), before).write(run.info)


def _earlier_record(run: RunDirectory) -> RunRecord | None:
    """What `run.json` says; one that is damaged is set aside, as all but its list of starts is written again."""
    try:
        return RunRecord.read(run.info)
    except RunDirectoryError:
        aside = unused_name(run.info)
        run.info.rename(aside)
    print(f"! {run.info.name} is damaged and now {aside.name}; the list of starts begins again", file=sys.stderr)
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
