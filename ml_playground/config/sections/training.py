"""`[train.data]`, `[train.optim]`, `[train.schedule]` and `[train.runtime]`: how a model is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from ml_playground.config.fields import (
    Section,
    default_from,
    experiment_default,
)
from ml_playground.config.parts import Part, PartOf
from ml_playground.config.registries import SINKS
from ml_playground.config.sections.types import Device, DType

if TYPE_CHECKING:
    import torch

    from ml_playground.run.sinks import Sink, SinkStart


class DataConfig(Section):
    """Batches."""

    dataset_dir: Path = default_from("prepare.dataset_dir", "folder with the prepared data")
    batch_size: PositiveInt = Field(12, le=10**6, description="sequences per forward pass")
    block_size: PositiveInt = Field(64, le=2**24, description="tokens per sequence")
    grad_accum_steps: PositiveInt = Field(1, le=10**6, description="forward passes per optimiser step")
    sampler: Literal["random", "sequential", "epoch"] = Field(
        "random",
        description="`random`: windows anywhere, with replacement; `sequential`: in the order of the text; "
        "`epoch`: every window once per epoch, shuffled again each time",
    )

    @property
    def tokens_per_step(self) -> int:
        """Tokens that an optimiser step is computed from, over all accumulated batches."""
        return self.batch_size * self.grad_accum_steps * self.block_size


ParameterGroup = dict[str, Any]
"""Parameters that an optimiser treats alike.

`params`, the tensors; `lr`, their peak learning rate; `lr_scale`, that as a multiple of `learning_rate`;
`weight_decay`; `hidden`, whether they are the matrices between embeddings and head.
"""


class OptimConfig(Part):
    """The optimiser. Its kinds are in `ml_playground/training/optimizers/`."""

    kind: str = Field("adamw", description="which one")
    learning_rate: float = Field(1e-3, ge=1e-30, le=1e30, description="peak learning rate")
    embedding_learning_rate: float = default_from(
        "train.optim.learning_rate", "peak learning rate of embeddings that are not tied to the head", ge=1e-30, le=1e30
    )
    weight_decay: float = Field(0.1, ge=0, le=1e6, description="weight decay, on matrices only")
    grad_clip: float = Field(1.0, ge=0, description="largest gradient norm; 0 turns clipping off")

    @property
    def hidden_learning_rate(self) -> float | None:
        """Peak learning rate of the matrices between embeddings and head, None where they are not a group apart."""
        return None

    def build(self, groups: "list[ParameterGroup]") -> "torch.optim.Optimizer":
        """The optimiser of these groups of parameters."""
        raise NotImplementedError


class ScheduleConfig(Part):
    """The learning rate over the run. Its kinds are in `ml_playground/training/schedules/`."""

    kind: str = Field("cosine", description="what follows the warm-up")
    warmup_iters: NonNegativeInt = Field(0, description="steps of linear warm-up")

    def learning_rate(self, step: int, peak: float) -> float:
        """The rate of a step, of which 0 is the first: linear warm-up to `peak`, then what the kind says."""
        if step < self.warmup_iters:
            return peak * (step + 1) / (self.warmup_iters + 1)
        return self.after_warmup(step, peak)

    def after_warmup(self, step: int, peak: float) -> float:
        """The rate of a step that is not in the warm-up."""
        raise NotImplementedError


class DecayingScheduleConfig(ScheduleConfig):
    """A schedule that decays from the peak to `min_lr`."""

    lr_decay_iters: NonNegativeInt = default_from("train.runtime.max_iters", "step at which `min_lr` is reached", ge=0)
    min_lr: float = Field(
        0.0, ge=0, description="learning rate after the decay, for groups whose peak is `learning_rate`"
    )

    @property
    def decay_start(self) -> int:
        """The first step of the decay."""
        return self.warmup_iters

    def after_warmup(self, step: int, peak: float) -> float:
        """See `ScheduleConfig`."""
        start, end = self.decay_start, self.lr_decay_iters
        if step >= end:
            return self.min_lr
        if step < start:
            return peak
        return self.min_lr + self.share((step - start) / (end - start)) * (peak - self.min_lr)

    def share(self, progress: float) -> float:
        """What is left of the way from `min_lr` to the peak, 1 to 0, after this share of the decay, 0 to 1."""
        raise NotImplementedError


class SinkConfig(Part):
    """Where a training reports its measurements. Its kinds are in `ml_playground/run/sinks/`."""

    kind: str = Field("console", description="which")

    def build(self, start: "SinkStart") -> "Sink":
        """Open it for a training.

        Raises:
            PlaygroundError: it cannot be opened.
        """
        raise NotImplementedError


class TrainRuntimeConfig(Section):
    """Where, how long and on what to train."""

    out_dir: Path = experiment_default(
        "`out/<name of the TOML file>` in the experiment's folder, where a `config.toml` goes by the experiment's name",
        "run directory: checkpoints, metrics, samples",
    )
    max_iters: NonNegativeInt = Field(1000, description="optimiser steps in all")
    eval_interval: PositiveInt = Field(250, description="steps between evaluations, each of which saves `ckpt_last.pt`")
    eval_iters: NonNegativeInt = Field(
        0, description="windows of validation text to evaluate on, always the first ones; 0 is all of it, exactly"
    )
    log_interval: PositiveInt = Field(10, description="steps between logged training losses")
    sinks: list[Annotated[SinkConfig, PartOf(SINKS, "console")]] = Field(
        ["console", "jsonl", "tensorboard"],
        validate_default=True,
        description="where measurements go: `console` prints them, `jsonl` adds rows to `metrics.jsonl`, `tensorboard` "
        "writes `logs/tb`; a table instead of a name sets a sink's options",
    )
    always_save_checkpoint: bool = Field(False, description="keep a numbered checkpoint of every evaluation")
    keep_last_n: NonNegativeInt = Field(0, description="numbered checkpoints to keep; 0 keeps all")
    save_merged_on_best: bool = Field(
        False, description="merge a fine-tuned model whenever it is the best so far, as `merge` does"
    )
    ckpt_time_interval_minutes: float = Field(
        10.0, ge=0, description="save `ckpt_last.pt` this long after the last save; 0 turns it off"
    )
    early_stop_patience: NonNegativeInt = Field(
        0, description="stop after this many evaluations in a row without improvement; 0 turns it off"
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="keep an exponential moving average of the weights, evaluate and sample with it; 0 turns it off",
    )
    seed: NonNegativeInt = Field(1337, description="seed of initial weights, batches and dropout")
    device: Device = Field("auto", description="`auto` takes CUDA, else MPS, else the CPU")
    dtype: DType = Field("float32", description="number format of the forward pass; weights stay float32")
    compile: bool = Field(False, description="compile the model with `torch.compile`")
    threads: NonNegativeInt = Field(
        0, le=1024, description="threads that compute on a CPU; 0 is PyTorch's choice, usually one for each core"
    )
    deterministic: bool = Field(False, description="deterministic kernels on CUDA, for bit-exact resume there")
