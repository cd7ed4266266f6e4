"""What no single key can tell: options that do not fit each other or this machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from ml_playground.config.devices import missing_device
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.tables import KeyPath


@dataclass(frozen=True)
class Mismatch:
    """A contradiction between options; the first of `keys` that the file states is the one to point at."""

    keys: tuple[KeyPath, ...]
    text: str


def mismatches(config: ExperimentConfig) -> Iterator[Mismatch]:
    """Contradictions within the configuration."""
    model, data, schedule, runtime = config.train.model, config.train.data, config.train.schedule, config.train.runtime
    if model.n_embd % model.n_head:
        yield Mismatch(
            (("train", "model", "n_head"), ("train", "model", "n_embd")),
            f"{model.n_head} heads do not divide n_embd = {model.n_embd}",
        )
    if data.block_size > model.block_size:
        yield Mismatch(
            (("train", "data", "block_size"), ("train", "model", "block_size")),
            f"{data.block_size} is beyond the model's block_size = {model.block_size}",
        )
    max_iters = ("train", "runtime", "max_iters")
    if schedule.warmup_iters > runtime.max_iters:
        yield Mismatch(
            (("train", "schedule", "warmup_iters"), max_iters),
            f"warm-up of {schedule.warmup_iters} steps is longer than training, max_iters = {runtime.max_iters}",
        )
    elif schedule.decay_lr and schedule.warmup_iters > schedule.lr_decay_iters:
        yield Mismatch(
            (("train", "schedule", "lr_decay_iters"), ("train", "schedule", "warmup_iters")),
            f"the decay ends at step {schedule.lr_decay_iters}, within the warm-up of {schedule.warmup_iters} steps",
        )
    if schedule.min_lr > config.train.optim.learning_rate:
        yield Mismatch(
            (("train", "schedule", "min_lr"), ("train", "optim", "learning_rate")),
            f"{schedule.min_lr:g} is above learning_rate = {config.train.optim.learning_rate:g}",
        )


def device_mismatches(config: ExperimentConfig) -> Iterator[Mismatch]:
    """Devices that this machine lacks."""
    for verb, device in (("train", config.train.runtime.device), ("sample", config.sample.runtime.device)):
        if (why := missing_device(device)) is not None:
            yield Mismatch(((verb, "runtime", "device"),), f'{why} ("auto" takes the best there is)')
