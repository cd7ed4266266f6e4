"""nanoGPT and ourselves, each in processes of its own."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from ml_playground.evaluation import Evaluator
from ml_playground.interop.nanogpt import nanogpt_tokenizer, read_nanogpt
from ml_playground.models.build import restore_model
from ml_playground.runtime import resolve

ANY_TEXT = "bundestag_char"  # the preparer of an experiment that takes any text
CPU_RECIPE: dict[str, object] = {  # nanoGPT's README, "I only have a macbook"
    "device": "cpu",
    "compile": False,
    "eval_iters": 20,
    "log_interval": 1,
    "block_size": 64,
    "batch_size": 12,
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "max_iters": 2000,
    "lr_decay_iters": 2000,
    "dropout": 0.0,
}


@dataclass(frozen=True)
class Training:
    """A finished training: seconds in its steps and in the whole process, median step, exact validation loss."""

    seconds: float
    process_seconds: float
    step_ms: float
    val_loss: float


class NanoGPT:
    """A copy of somebody's clone, with a text's characters prepared in it."""

    def __init__(self, clone: Path, scratch: Path, text: Path) -> None:
        self.text = text
        self.folder = Path(shutil.copytree(clone, scratch / "nanoGPT"))
        data = self.folder / "data" / "shakespeare_char"
        shutil.copy(text, data / "input.txt")
        run([sys.executable, str(data / "prepare.py")], self.folder)

    def train(self, steps: int) -> Training:
        """The README's recipe for a CPU over so many steps; time as its train.py prints it for each."""
        recipe = CPU_RECIPE | {"max_iters": steps, "lr_decay_iters": steps, "eval_interval": steps}
        options = [f"--{key}={value}" for key, value in recipe.items()]
        command = [sys.executable, "train.py", "config/train_shakespeare_char.py", "--always_save_checkpoint=True"]
        began = time.perf_counter()
        said = run([*command, *options], self.folder)
        process_seconds = time.perf_counter() - began
        # The first step's time and that of the one after the last contain an evaluation.
        times = [float(each) for each in re.findall(r"time ([\d.]+)ms", said)][1:steps]
        mean = sum(times) / len(times)
        return Training(mean * steps / 1000, process_seconds, sorted(times)[len(times) // 2], self._exact_loss())

    def model_code(self) -> ModuleType:
        """Its model.py."""
        spec = importlib.util.spec_from_file_location("nanogpt_model", self.folder / "model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    def _exact_loss(self) -> float:
        """The loss of its checkpoint over all of its validation tokens, as we measure our own."""
        vocabulary = self.folder / "data" / "shakespeare_char" / "meta.pkl"
        found = read_nanogpt(self.folder / "out-shakespeare-char" / "ckpt.pt")
        model = restore_model(found.model_args, found.weights)
        tokenizer = nanogpt_tokenizer(vocabulary, model.vocab_size)
        tokens = np.fromfile(vocabulary.with_name("val.bin"), dtype="<u2")
        size = len(tokenizer.decode(tokens.tolist()).encode())
        evaluator = Evaluator(tokens, text_bytes=size, vocab_size=tokenizer.vocab_size, context=64)
        evaluation = evaluator(model, resolve("cpu", "float32"))
        assert evaluation is not None
        return evaluation.loss


def train_ours(config: Path, text: Path, folder: Path, **changes: object) -> Training:
    """Train with a configuration on a text's characters, with the `[train.runtime]` changes; all goes to `folder`."""
    out = folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    changes = {"out_dir": str(out), "log_interval": 1} | changes
    prepare = {"dataset": ANY_TEXT, "raw_dir": str(text.absolute()), "dataset_dir": str(folder / "data")}
    variant = folder / "variant.toml"
    variant.write_text(
        f'extends = "{config.absolute()}"\n[prepare]\n{_toml(prepare)}\n[train.runtime]\n{_toml(changes)}\n'
    )
    ours("prepare", "shakespeare_char", "--exp-config", str(variant))
    began = time.perf_counter()
    ours("train", "shakespeare_char", "--exp-config", str(variant))
    process_seconds = time.perf_counter() - began
    summary = json.loads((out / "summary.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = sorted(row["train/step_time_ms"] for row in rows if "train/step_time_ms" in row)
    return Training(summary["seconds"], process_seconds, times[len(times) // 2], summary["val_loss"])


def _toml(values: Mapping[str, object]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())


def ours(*arguments: str) -> str:
    """One of our own commands."""
    return run([sys.executable, "-m", "ml_playground.cli", *arguments], Path.cwd())


def run(command: list[str], folder: Path) -> str:
    """A command in a folder; what it printed."""
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout
