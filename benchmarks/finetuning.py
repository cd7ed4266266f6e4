"""Fine-tuning: what adapters reach beside all weights, and how fast, beside Hugging Face's trainer.

make bench-finetuning runs it. A model of ours learns Shakespeare, goes out as a folder in Hugging Face's format, and is
fine-tuned on speeches of the Bundestag.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeStubs=false
# The libraries used here leave some types out.

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset as TorchDataset
from transformers import AutoModelForCausalLM, TrainerCallback, TrainingArguments
from transformers import Trainer as TheirTrainer

from benchmarks.report import Result, median, rounds, write
from ml_playground.commands.build import build_trainer, fresh_start
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.data.download import TINY_SHAKESPEARE, cache_folder, fetch
from ml_playground.data.store import open_dataset
from ml_playground.run.directory import RunDirectory
from ml_playground.run.rows import read_jsonl
from ml_playground.run.sinks import SinkStart, Telemetry
from ml_playground.runtime import resolve

ROUNDS = 5
STEPS = 40  # of a round, after the first ones
WARM_UP = 5
BLOCK, BATCH = 128, 16

BASE = """\
[prepare]
dataset = "bundestag_char"
raw_dir = "{text}"
tokenizer = "gpt2"
source = "lines"
[train.model]
kind = "qwen3"
n_layer = 4
n_head = 4
n_embd = 192
tied_embeddings = true
block_size = {block}
[train.data]
batch_size = {batch}
block_size = {block}
[train.optim]
kind = "muon"
learning_rate = 3e-3
[train.schedule]
kind = "wsd"
warmup_iters = 20
[train.runtime]
max_iters = 400
eval_interval = 200
device = "cpu"
[export.gguf]
enabled = false
"""
TUNED = """\
[prepare]
dataset = "bundestag_finetuning_mps"
raw_dir = "{text}"
dataset_dir = "tuned/datasets"
tokenizer = "huggingface"
source = { kind = "speeches", interjections = "drop", chair = "drop" }
[train.hf_model]
model_name = "base/out/base/export/huggingface"
[train.data]
batch_size = {batch}
block_size = {block}
sampler = "epoch"
[train.peft]
enabled = {enabled}
r = 16
lora_alpha = 32.0
extend_mlp_targets = true
[train.optim]
learning_rate = {rate}
weight_decay = 0.0
[train.schedule]
warmup_iters = 20
[train.runtime]
max_iters = 300
eval_interval = 100
device = "cpu"
out_dir = "tuned/out/{name}"
[export.gguf]
enabled = false
"""
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Circle:
    """A project folder with two experiments, in which the model of the one is fine-tuned by the other."""

    root: Path

    def make(self) -> None:
        """Write the experiments, train the first one's model and take it to Hugging Face's format."""
        table = cache_folder() / "speakger" / "Bundestag.csv"
        sizes = {"block": BLOCK, "batch": BATCH}
        variants = {"lora": {"enabled": "true", "rate": "2e-3"}, "full": {"enabled": "false", "rate": "5e-4"}}
        (self.root / "pyproject.toml").touch()
        for name in ("base", "tuned"):
            (self.root / name).mkdir()
        (self.root / "base" / "config.toml").write_text(BASE.format(text=fetch(TINY_SHAKESPEARE), **sizes))
        for name, options in variants.items():
            text = TUNED.format(text=table, name=name, **options, **sizes)
            (self.root / "tuned" / f"{name}.toml").write_text(f"extends = false\n{text}")
        (self.root / "tuned" / "config.toml").write_text((self.root / "tuned" / "lora.toml").read_text())
        for verb in ("prepare", "train", "export"):
            self.run(verb, "base")
        self.run("prepare", "tuned", "lora")

    def run(self, verb: str, experiment: str, variant: str = "config") -> int:
        """Run a command in a process of its own; the most bytes of memory that it had."""
        config = self.root / experiment / f"{variant}.toml"
        command = [sys.executable, "-m", "ml_playground.cli", verb, experiment, "--exp-config", str(config)]
        process = subprocess.Popen(command, cwd=self.root)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        return usage.ru_maxrss * 2**10

    def config(self, variant: str) -> ExperimentConfig:
        """The configuration of a fine-tuning."""
        folder = self.root / "tuned"
        return load_config(folder / f"{variant}.toml", name="tuned", folder=folder)


def full_circle(circle: Circle) -> Result:
    """Losses before and after fine-tuning, and what that took."""
    result = Result(
        "fine-tuning",
        ["", "nats/token", "bits/byte", "trained parameters", "tokens/s", "peak memory, MiB"],
    )
    for name, variant in (("adapters, r = 16", "lora"), ("all weights", "full")):
        memory = circle.run("train", "tuned", variant)
        run = circle.root / "tuned" / "out" / variant
        rows = read_jsonl(run / "metrics.jsonl")
        evaluations = [row for row in rows if "val/loss" in row]
        best = min(evaluations, key=lambda row: row["val/loss"])
        if not result.rows:
            result.rows.append(["before", *_losses(evaluations[0]), "0", "", ""])
        parameters = json.loads((run / "run.json").read_text())["parameters"]
        speed = median([row["train/tokens_per_sec"] for row in rows if "train/tokens_per_sec" in row])
        result.rows.append([name, *_losses(best), f"{parameters:,}", f"{speed:,.0f}", f"{memory / 2**20:,.0f}"])
    circle.run("merge", "tuned", "lora")
    figures = json.loads((circle.root / "tuned" / "out" / "lora" / "merged" / "merge.json").read_text())
    result.says.append(
        f"Merged, the logits of the model with adapters are within {figures['largest_difference']:.1e} of what they "
        f"were; the largest is {figures['largest_logit']:.1f}."
    )
    return result


def _losses(row: dict[str, Any]) -> list[str]:
    return [f"{row['val/loss']:.4f}", f"{row['val/bits_per_byte']:.4f}"]


def trainers(circle: Circle) -> Result:
    """Tokens per second of the two trainers, with the same model, adapters, data and batches, in turn."""
    config = circle.config("lora")
    contenders: dict[str, Callable[[], float]] = {
        "ours": lambda: _ours(config),
        "transformers.Trainer with PEFT": lambda: _theirs(config),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            speeds[name].append(STEPS * BATCH * BLOCK / run())
    result = Result("fine-tuning-speed", ["", "tokens/s", "median"])
    result.rows = [[name, rounds(rates, 0), f"{median(rates):,.0f}"] for name, rates in speeds.items()]
    ours, theirs = (median(rates) for rates in speeds.values())
    result.says.append(
        f"Ours is {ours / theirs:.2f} times as fast (transformers {version('transformers')}, PEFT {version('peft')})."
    )
    return result


def _ours(config: ExperimentConfig) -> float:
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    with tempfile.TemporaryDirectory() as scratch:
        run = RunDirectory(Path(scratch))
        trainer = build_trainer(config, dataset, resolve("cpu", "float32"), run, fresh_start(config, dataset))
        with Telemetry(config.train.runtime.sinks, SinkStart(run, STEPS)) as telemetry:
            for _ in range(WARM_UP):
                trainer.step(telemetry)
            began = time.perf_counter()
            for _ in range(STEPS):
                trainer.step(telemetry)
            return time.perf_counter() - began


class _Windows(TorchDataset[dict[str, torch.Tensor]]):
    """The packed tokens in the windows that ours trains on."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self.rows = tokens[: len(tokens) // BLOCK * BLOCK].view(-1, BLOCK)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


class _Clock(TrainerCallback):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def _theirs(config: ExperimentConfig) -> float:
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    torch.manual_seed(1337)
    base = AutoModelForCausalLM.from_pretrained(str(config.train.hf_model.model_name), dtype=torch.float32)
    peft = config.train.peft
    lora = LoraConfig(task_type="CAUSAL_LM", r=peft.r, lora_alpha=int(peft.lora_alpha), target_modules=TARGETS)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = TheirTrainer(
            model=get_peft_model(base, lora),
            args=TrainingArguments(
                output_dir=scratch,
                max_steps=WARM_UP + STEPS,
                per_device_train_batch_size=BATCH,
                learning_rate=config.train.optim.learning_rate,
                weight_decay=0.0,
                max_grad_norm=config.train.optim.grad_clip,
                lr_scheduler_type="cosine",
                logging_steps=config.train.runtime.log_interval,
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=_Windows(torch.tensor(dataset.train.astype("int64"))),
            callbacks=[clock],
        )
        trainer.train()
    return clock.ends[-1] - clock.ends[WARM_UP - 1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        whole = Circle(Path(folder))
        whole.make()
        write(trainers(whole))
        write(full_circle(whole))
