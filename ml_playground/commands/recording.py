"""What a training leaves in its run directory about itself: `run.json` at its start, `summary.json` until its end."""

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import torch

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.manifest import Manifest
from ml_playground.errors import DivergedError, PlaygroundError, RunDirectoryError
from ml_playground.run.checkpoint import Checkpoint
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.records import RunRecord, Status, Summary, ValidationText, utc_now
from ml_playground.run.surroundings import commit_of, machine
from ml_playground.run.toml_file import file_name
from ml_playground.runtime import Runtime, device_name
from ml_playground.training.resume import rounding_warning
from ml_playground.training.trainer import Trainer
from ml_playground.utils.files import unused_name, write_json


@contextmanager
def failed_start_recorded(run: RunDirectory, checkpoint: Checkpoint | None, max_iters: int) -> Generator[None]:
    """Have `summary.json` say that a start failed before its first step, where it speaks of one before.

    A mistake of the user's leaves it as it is: nothing has begun.
    """
    try:
        yield
    except PlaygroundError:
        raise
    except Exception:
        if run.summary.exists():
            _mark_failed(run, Progress() if checkpoint is None else checkpoint.progress, max_iters)
        raise


def record_start(
    config: ExperimentConfig,
    run: RunDirectory,
    runtime: Runtime,
    trainer: Trainer,
    manifest: Manifest,
    *,
    resumed: bool,
) -> None:
    """Write what runs, and on what, to `run.json` and `tokenizer/`; a resumed run adds to the list of its starts."""
    origin, threads = trainer.origin, torch.get_num_threads()
    before = _earlier_record(run) if resumed else None
    if before is not None and before.threads != threads:
        print(rounding_warning("threads", before.threads, threads))
    if not resumed:
        run.set_aside_evaluations()
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
        validation=ValidationText(manifest.validation_text, manifest.val.sha256, manifest.val.bytes),
        table_parameters=sum(table.numel() for table in trainer.model.embeddings() if table.requires_grad),
    )
    record.started(trainer.progress.step, utc_now(), before).write(run.info)


@contextmanager
def summarised(run: RunDirectory, trainer: Trainer, max_iters: int) -> Generator[None]:
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


def _earlier_record(run: RunDirectory) -> RunRecord | None:
    """What `run.json` says; one that is damaged is set aside, as all but its list of starts is written again."""
    try:
        return RunRecord.read(run.info)
    except RunDirectoryError:
        aside = unused_name(run.info)
        run.info.rename(aside)
    print(f"! {run.info.name} is damaged and now {aside.name}; the list of starts begins again", file=sys.stderr)
    return None


def _mark_failed(run: RunDirectory, progress: Progress, max_iters: int, status: Status = "failed") -> None:
    """Write how a run ended that an error ended. That error matters more than one here, such as of a full disk."""
    with suppress(OSError, PlaygroundError):
        run.require()
        _summary(progress, status, max_iters).write(run.summary)


def _summary(progress: Progress, status: Status, max_iters: int) -> Summary:
    return Summary(status, utc_now(), max_iters, progress)
