"""What the training loop costs beside forward pass, backward pass, clipping and optimiser."""

import time
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.contenders import NanoGPT
from benchmarks.report import Result, median, rounds
from benchmarks.training import BASE
from ml_playground.commands.build import build_trainer, fresh_start
from ml_playground.config.load import load_config
from ml_playground.data.batches import Batches
from ml_playground.data.store import open_dataset
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sinks import SinkStart, Telemetry
from ml_playground.runtime import resolve
from ml_playground.training.trainer import Trainer

ROUNDS = 7
STEPS = 50  # per round, so that each of ours logs once


def loop_overhead(_nanogpt: NanoGPT, scratch: Path) -> Result:
    """Milliseconds per step of `shakespeare_char`: the trainer's own, and the bare mathematics of the same model."""
    settings = f'extends = "{BASE}"\n[train.runtime]\nout_dir = "{scratch / "overhead"}"\nmax_iters = 1000000\n'
    (scratch / "overhead.toml").write_text(settings + "eval_interval = 1000000\nlog_interval = 50\n")
    config = load_config(scratch / "overhead.toml", name="shakespeare_char", folder=BASE.parent)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    run = RunDirectory(config.train.runtime.out_dir)
    trainer = build_trainer(config, dataset, resolve("cpu", "float32"), run, fresh_start(config, dataset))
    batches = Batches(dataset.train, seed=1337, **config.train.data.model_dump(exclude={"dataset_dir"}))
    ours: list[float] = []
    bare: list[float] = []
    with Telemetry(config.train.runtime.sinks, SinkStart(run, 10**6)) as telemetry:
        for _ in range(1 + ROUNDS):
            ours.append(_loop(trainer, telemetry))
            bare.append(_bare(trainer, batches))
    result = Result("loop-overhead", ["", "ms per step", "median"])
    for name, seconds in (("the training loop", ours[1:]), ("forward, backward, clipping and optimiser", bare[1:])):
        times = [1000 * each / STEPS for each in seconds]
        result.rows.append([name, rounds(times, 2), f"{median(times):.2f}"])
    result.says.append(f"Overhead: {1 - median(bare[1:]) / median(ours[1:]):.1%} of a step.")
    return result


def _loop(trainer: Trainer, telemetry: Telemetry) -> float:
    began = time.perf_counter()
    for _ in range(STEPS):
        trainer.step(telemetry)
    return time.perf_counter() - began


def _bare(trainer: Trainer, batches: Batches) -> float:
    made = [batches(step)[0] for step in range(STEPS)]
    parameters = list(trainer.model.parameters())
    began = time.perf_counter()
    for batch in made:
        loss = F.cross_entropy(trainer.model(batch.inputs).flatten(0, 1), batch.targets.flatten())
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        trainer.optimizer.step()  # pyright: ignore[reportUnknownMemberType] -- torch does not type it
        trainer.optimizer.zero_grad()
    return time.perf_counter() - began
