"""Train to the last step, resuming from `ckpt_last.pt` where there is one."""

import sys
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Literal, cast

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
from ml_playground.errors import DivergedError, PlaygroundError, StoppedBySignalError
from ml_playground.experiments import Experiment
from ml_playground.models.spec import spec_of
from ml_playground.run.checkpoint import Checkpoint, resume
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.sinks import SinkStart, Telemetry
from ml_playground.run.toml_file import file_name, require_same_file
from ml_playground.runtime import (
    Runtime,
    memory_errors_explained,
)
from ml_playground.training.resume import Reconciled, reconcile, rounding_warning
from ml_playground.training.schedules import schedule_warnings
from ml_playground.training.trainer import Trainer
from ml_playground.utils.files import unused_name, write_json
from ml_playground.utils.paths import shown
from ml_playground.utils.tables import is_table

Status = Literal["running", "finished", "stopped", "diverged", "failed"]


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
                _summarise(run, Progress() if checkpoint is None else Progress(**checkpoint.progress), "failed")
            raise
        _record_start(run, trainer, file_name(run, config.file))
        _summarise(run, trainer.progress, "running")
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
        status: Status = "failed"
        try:
            with Telemetry(settings.sinks, start) as telemetry:
                stopped_by = trainer.fit(telemetry)
            status = "finished" if trainer.finished else "stopped"
        except DivergedError:
            status = "diverged"
            raise
        except KeyboardInterrupt:
            status = "stopped"
            raise
        finally:
            _summarise(run, trainer.progress, status)
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


def _summarise(run: RunDirectory, progress: Progress, status: Status) -> None:
    """Write how far the run is to `summary.json`. One that is killed stays "running" there."""
    if status == "failed":  # by what may fail here too, such as a full disk or a folder that is gone: that matters more
        with suppress(OSError, PlaygroundError):
            run.require()
            write_json(run.summary, {**progress.as_json(), "status": status})
    else:
        write_json(run.summary, {**progress.as_json(), "status": status})


def _record_start(run: RunDirectory, trainer: Trainer, toml: str | None) -> None:
    """Write what runs, and on what, to `run.json` and `tokenizer/`; a resumed run adds to the list of its starts."""
    start = {"step": trainer.progress.step, "time": _now(), "threads": torch.get_num_threads()}
    earlier: list[object] = []
    if trainer.progress.step:
        earlier = _earlier_starts(run)
    before = earlier[-1].get("threads") if earlier and is_table(earlier[-1]) else None
    if before not in (None, start["threads"]):
        print(rounding_warning("threads", before, start["threads"]))
    write_json(run.tokenizer, trainer.origin.tokenizer)
    about = {key: value for key, value in asdict(trainer.origin).items() if key != "tokenizer"}
    write_json(
        run.info, {"toml": toml, **about, "parameters": trainer.model.num_parameters(), "starts": [*earlier, start]}
    )


def _earlier_starts(run: RunDirectory) -> list[object]:
    """The starts in `run.json`; a file that is damaged is set aside, as all else in it is written again."""
    info = run.read_info()
    starts = None if info is None else info.get("starts", [])
    if isinstance(starts, list):
        return cast("list[object]", starts)
    aside = unused_name(run.info)
    run.info.rename(aside)
    print(f"! {run.info.name} is damaged and now {aside.name}; the list of starts begins again", file=sys.stderr)
    return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
