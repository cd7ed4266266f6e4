"""Estimate what a training would take, before it is run."""

import statistics
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ml_playground.commands.build import (
    build_runtime,
    build_trainer,
    fresh_start,
)
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sections import ScheduleConfig
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import DivergedError
from ml_playground.evaluation import Evaluator
from ml_playground.experiments import Experiment
from ml_playground.models.base import LanguageModel
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import (
    Runtime,
    memory_errors_explained,
    peak_memory,
    use_threads,
)
from ml_playground.training.schedules import schedule_warnings
from ml_playground.training.trainer import Trainer
from ml_playground.utils.text import duration

_MANY_EPOCHS = 20
_MUCH_EVALUATION = 0.3
_FASTER = 0.95  # of the time, to be worth a line
_TIMED_STEPS = 5
_TIMED_TOKENS = 2**14


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Estimate."""
    estimate(config)


@memory_errors_explained()
def estimate(config: ExperimentConfig) -> None:
    """Print what the training would take, from a few timed steps whose results are thrown away."""
    data, settings = config.train.data, config.train.runtime
    dataset = open_dataset(data.dataset_dir, config.prepare)
    runtime = build_runtime(settings)
    with TemporaryDirectory() as scratch:
        run = RunDirectory(Path(scratch))
        trainer = build_trainer(config, dataset, runtime, run, fresh_start(config, dataset))
    step_seconds = statistics.median(time_steps(trainer, _TIMED_STEPS))
    peak_bytes = peak_memory(runtime.device)
    threads = torch.get_num_threads() if runtime.device.type == "cpu" else 1
    one_thread_seconds = None
    if threads > 1:
        use_threads(1)
        one_thread_seconds = statistics.median(time_steps(trainer, _TIMED_STEPS))
        use_threads(threads)
    estimated = Estimate(
        parameters=trainer.model.num_parameters(),
        all_parameters=sum(each.numel() for each in trainer.model.parameters()),
        flops_per_token=trainer.model.flops_per_token(data.block_size),
        model_bytes=state_bytes(trainer),
        peak_bytes=peak_bytes,
        tokens_per_step=data.tokens_per_step,
        train_tokens=len(dataset.train),
        steps=settings.max_iters,
        evaluations=1 + -(-settings.max_iters // settings.eval_interval),
        step_seconds=step_seconds,
        threads=threads,
        one_thread_seconds=one_thread_seconds,
        evaluation_seconds=evaluation_seconds(config, dataset, trainer.model, runtime),
    )
    print("\n".join(estimated.lines()))
    for warning in estimate_warnings(estimated, config.train.schedule, max_iters=settings.max_iters):
        print(f"! {warning}")


def evaluation_seconds(config: ExperimentConfig, dataset: Dataset, model: LanguageModel, runtime: Runtime) -> float:
    """How long an evaluation takes, from one of its first windows only."""
    size, windows = config.train.data.block_size, config.train.runtime.eval_iters
    all_windows = -(-(len(dataset.val) - 1) // size)
    wanted = min(windows or all_windows, all_windows)
    few = min(wanted, max(1, _TIMED_TOKENS // size))
    evaluator = Evaluator(
        dataset.val,
        text_bytes=dataset.manifest.val.bytes,
        vocab_size=dataset.tokenizer.vocab_size,
        context=size,
        max_tokens=few * size,
    )
    evaluator(model, runtime)  # the first time may be that of compiling
    began = time.perf_counter()
    evaluator(model, runtime)
    return (time.perf_counter() - began) * wanted / few


@dataclass(frozen=True)
class Estimate:
    """A training in numbers.

    Attributes:
        parameters: trainable values.
        all_parameters: and those that are not.
        flops_per_token: of forward and backward pass.
        model_bytes: weights, gradients and the optimiser's state.
        peak_bytes: most memory that the device, or on a CPU this process, used in the timed steps; None if unknown.
        tokens_per_step: over all accumulated batches.
        train_tokens: size of the training text.
        steps: optimiser steps to come.
        evaluations: evaluations to come.
        step_seconds: measured.
        evaluation_seconds: of one evaluation, measured.
        threads: that computed them, where the device is the CPU.
        one_thread_seconds: measured with one thread, where there were several.
    """

    parameters: int
    all_parameters: int
    flops_per_token: int
    model_bytes: int
    peak_bytes: int | None
    tokens_per_step: int
    train_tokens: int
    steps: int
    evaluations: int
    step_seconds: float
    evaluation_seconds: float
    threads: int = 1
    one_thread_seconds: float | None = None

    @property
    def epochs(self) -> float:
        """How often each token of the text is seen."""
        return self.steps * self.tokens_per_step / self.train_tokens

    @property
    def seconds(self) -> float:
        """Steps and evaluations together."""
        return self.steps * self.step_seconds + self.evaluations * self.evaluation_seconds

    @property
    def evaluation_share(self) -> float:
        """Share of the time that goes into evaluations."""
        return self.evaluations * self.evaluation_seconds / self.seconds if self.seconds else 0.0

    def lines(self) -> Iterator[str]:
        """The estimate in words, a line each."""
        tokens = self.steps * self.tokens_per_step
        of_all = "" if self.parameters == self.all_parameters else f" of {self.all_parameters:,}"
        yield f"parameters  {self.parameters:,}{of_all}"
        peak = "" if self.peak_bytes is None else f"; {self.peak_bytes / 2**20:,.0f} MiB in all in the timed steps"
        yield f"memory      {self.model_bytes / 2**20:,.0f} MiB for weights, gradients and optimiser{peak}"
        yield (
            f"tokens      {self.tokens_per_step:,} per step, {tokens:,} in all: {self.epochs:.2f} epochs of "
            f"{self.train_tokens:,}"
        )
        yield f"compute     {self.flops_per_token * tokens:.2e} FLOPs, {self.flops_per_token:,} per token"
        rate = self.flops_per_token * self.tokens_per_step / self.step_seconds
        yield (
            f"speed       {self.step_seconds * 1000:.1f} ms per step, "
            f"{self.tokens_per_step / self.step_seconds:,.0f} tokens/s, {rate / 1e9:,.0f} GFLOP/s"
        )
        if self.one_thread_seconds is not None:
            yield (
                f"threads     {self.threads} take {self.step_seconds * 1000:.1f} ms per step, "
                f"1 takes {self.one_thread_seconds * 1000:.1f} ms"
            )
        yield (
            f"time        {duration(self.seconds)}, of which {self.evaluation_share:.0%} for "
            f"{self.evaluations:,} evaluations of {self.evaluation_seconds:.1f} s"
        )


def time_steps(trainer: Trainer, count: int, *, may_diverge: bool = False) -> list[float]:
    """Take one step to warm up and `count` more; the seconds of these. Nothing is saved.

    Args:
        trainer: of the run.
        count: steps.
        may_diverge: time a training that diverges too, which changes nothing in what a step takes.

    Raises:
        DivergedError: the loss or a gradient is not finite, unless it `may_diverge`.
    """
    seconds: list[float] = []
    for _ in range(1 + count):
        before = time.perf_counter()
        trainer.update()
        with suppress(DivergedError) if may_diverge else nullcontext():
            trainer.synchronize()
        seconds.append(time.perf_counter() - before)
    return seconds[1:]


def state_bytes(trainer: Trainer) -> int:
    """Memory for weights, their gradients, and the optimiser's state once it has one."""
    weights = list(trainer.model.parameters())
    gradients = [weight for weight in weights if weight.requires_grad]
    states = [value for state in trainer.optimizer.state.values() for value in state.values()]
    held = [*weights, *gradients, *(value for value in states if isinstance(value, torch.Tensor))]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def estimate_warnings(expected: Estimate, schedule: ScheduleConfig, *, max_iters: int) -> Iterator[str]:
    """What is likely not meant."""
    yield from schedule_warnings(schedule, max_iters=max_iters)
    if expected.one_thread_seconds is not None and expected.one_thread_seconds < _FASTER * expected.step_seconds:
        yield "One thread is faster: set [train.runtime] threads = 1 (or wait until the machine is less busy)."
    if expected.epochs > _MANY_EPOCHS:
        yield (
            f"The model sees each token {expected.epochs:.0f} times. Expect the validation loss to rise at some point: "
            "add text, train for less, or set [train.runtime] early_stop_patience."
        )
    if expected.evaluation_share > _MUCH_EVALUATION:
        yield (
            f"Evaluations take {expected.evaluation_share:.0%} of the time. Set [train.runtime] eval_interval higher, "
            "or eval_iters to a number of windows."
        )
