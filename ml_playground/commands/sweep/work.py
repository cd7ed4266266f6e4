"""What a worker does: it trains, or times a few steps."""

import gc
import os
import statistics
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ml_playground.commands.build import build_runtime, build_trainer, fresh_start
from ml_playground.commands.estimate import evaluation_seconds, time_steps
from ml_playground.commands.sweep.workers import Outcome, Task
from ml_playground.commands.train import train
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.data.store import open_dataset
from ml_playground.errors import (
    DivergedError,
    MissingExtraError,
    PlaygroundError,
    StoppedBySignalError,
    StorageError,
)
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sweep import Measured
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.extras import needing
from ml_playground.utils.files import system_error

_TIMED_STEPS = 10


def do(task: Task) -> Outcome:
    """Do it, and leave the process as it was before."""
    _print_to(task.log)
    try:
        return _done(task)
    finally:
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch does not type it
            torch.cuda.empty_cache()
        if (compiler := sys.modules.get("torch._dynamo")) is not None:
            compiler.reset()  # it compiles a function for a few models only, and then no more


def _done(task: Task) -> Outcome:
    try:
        with needing("finetune"):
            config = load_config(task.config, name=task.experiment, folder=task.home)
            if task.what == "measure":
                return Outcome("finished", measured=_measured(config))
            train(config)
    except (StoppedBySignalError, KeyboardInterrupt) as error:  # the latter before its first step
        return Outcome("stopped", str(error))
    except PlaygroundError as error:
        print(error, file=sys.stderr)
        if isinstance(error, StorageError | MissingExtraError):
            return Outcome("refused", str(error))
        return Outcome("diverged" if isinstance(error, DivergedError) else "failed", str(error))
    except Exception as error:  # of any kind, such as in a user's own model: it ends this run only
        traceback.print_exc()
        refusal = system_error(error)
        return Outcome("failed" if refusal is None else "refused", f"{type(error).__name__}: {error}")
    return Outcome("finished")


@memory_errors_explained()
def _measured(config: ExperimentConfig) -> Measured:
    data = config.train.data
    dataset = open_dataset(data.dataset_dir, config.prepare)
    runtime = build_runtime(config.train.runtime)
    with TemporaryDirectory() as scratch:
        run = RunDirectory(Path(scratch))
        trainer = build_trainer(config, dataset, runtime, run, fresh_start(config, dataset))
    seconds = time_steps(trainer, _TIMED_STEPS, may_diverge=True)
    return Measured(
        tokens_per_step=data.tokens_per_step,
        flops_per_token=trainer.model.flops_per_token(data.block_size),
        step_seconds=statistics.median(seconds),
        fastest_step_seconds=min(seconds),
        evaluation_seconds=evaluation_seconds(config, dataset, trainer.model, runtime),
    )


def _print_to(log: Path) -> None:
    """Have all output of this process, that of libraries too, in a file from now on."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
