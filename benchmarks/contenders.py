"""nanoGPT and ourselves, each in processes of its own."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ml_playground import experiments
from ml_playground.config.load import load_config
from ml_playground.data.sources import TINY_SHAKESPEARE, fetch
from ml_playground.data.store import open_dataset
from ml_playground.evaluation import Evaluator
from ml_playground.inference.nanogpt import load_nanogpt
from ml_playground.runtime import resolve

CPU_RECIPE = {  # nanoGPT's README, "I only have a macbook"
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
    """A copy of somebody's clone, with Tiny Shakespeare prepared in it."""

    def __init__(self, clone: Path, scratch: Path) -> None:
        self.folder = Path(shutil.copytree(clone, scratch / "nanoGPT"))
        data = self.folder / "data" / "shakespeare_char"
        shutil.copy(fetch(TINY_SHAKESPEARE), data / "input.txt")
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
        """The loss of its checkpoint over all of the validation text, as we measure our own."""
        vocabulary = self.folder / "data" / "shakespeare_char" / "meta.pkl"
        model, *_ = load_nanogpt(self.folder / "out-shakespeare-char" / "ckpt.pt", vocabulary)
        experiment = experiments.find("shakespeare_char")
        config = load_config(experiment.config_path, name=experiment.name, folder=experiment.folder)
        dataset = open_dataset(config.prepare.dataset_dir, config.prepare)
        byte_lengths = dataset.tokenizer.byte_lengths()
        evaluation = Evaluator(dataset.val, byte_lengths, block_size=64, max_windows=0)(
            model, resolve("cpu", "float32")
        )
        assert evaluation is not None
        return evaluation.loss


def train_ours(config: Path, folder: Path, **changes: object) -> Training:
    """`train shakespeare_char` with a configuration, with the `[train.runtime]` changes; the run goes to `folder`.

    A training that is finished there already is not repeated.
    """
    out = folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    changes = {"out_dir": str(out), "log_interval": 1} | changes
    stated = "\n".join(f"{key} = {json.dumps(value)}" for key, value in changes.items())
    variant = folder / "variant.toml"
    variant.write_text(f'extends = "{config.absolute()}"\n[train.runtime]\n{stated}\n')
    began = time.perf_counter()
    ours("train", "shakespeare_char", "--exp-config", str(variant))
    process_seconds = time.perf_counter() - began
    summary = json.loads((out / "summary.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = sorted(row["train/step_time_ms"] for row in rows if "train/step_time_ms" in row)
    return Training(summary["seconds"], process_seconds, times[len(times) // 2], summary["val_loss"])


def ours(*arguments: str) -> str:
    """One of our own commands."""
    return run([sys.executable, "-m", "ml_playground.cli", *arguments], Path.cwd())


def run(command: list[str], folder: Path) -> str:
    """A command in a folder; what it printed."""
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout
