"""Training speed on nanoGPT's CPU recipe, side by side with nanoGPT itself.

    uv run python benchmarks/train_speed.py <folder of a nanoGPT clone>

Both train the same model on the same text with the same settings, in turns, each in a process of its own. What is
compared is the time of a step as each program reports it, everything in it counted: drawing the batch, forward,
backward, clipping, optimiser. Evaluation, checkpoints and start-up are left out on both sides.
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from ml_playground.data.sources import TINY_SHAKESPEARE, fetch

STEPS, ROUNDS = 300, 3
BATCH_SIZE, BLOCK_SIZE = 12, 64
RECIPE = {
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "block_size": BLOCK_SIZE,
    "batch_size": BATCH_SIZE,
    "max_iters": STEPS,
    "lr_decay_iters": STEPS,
    "eval_interval": 10 * STEPS,
    "eval_iters": 1,
    "log_interval": 1,
    "dropout": 0.0,
    "device": "cpu",
    "compile": False,
}
OURS = """\
extends = "{base}"
[train.schedule]
lr_decay_iters = {steps}
[train.runtime]
out_dir = "{out}"
max_iters = {steps}
eval_interval = {steps}
eval_iters = 1
log_interval = 1
"""


def run(command: list[str], folder: Path) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def nanogpt_step_ms(clone: Path) -> float:
    """Median time of a step as nanoGPT's train.py prints it."""
    options = [f"--{key}={value}" for key, value in RECIPE.items()]
    said = run([sys.executable, "train.py", "config/train_shakespeare_char.py", *options], clone)
    times = [float(time) for time in re.findall(r"time ([\d.]+)ms", said)]
    return statistics.median(times[10:])


def our_step_ms(scratch: Path) -> float:
    """Median time of a step as our metrics.jsonl has it."""
    out = scratch / "run"
    shutil.rmtree(out, ignore_errors=True)
    base = Path(__file__).parents[1] / "ml_playground" / "experiments" / "shakespeare_char" / "config.toml"
    config = scratch / "speed.toml"
    config.write_text(OURS.format(base=base, out=out, steps=STEPS))
    run([sys.executable, "-m", "ml_playground.cli", "train", "shakespeare_char", "--exp-config", str(config)], scratch)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times: list[float] = [row["train/step_time_ms"] for row in rows if "train/step_time_ms" in row]
    return statistics.median(times[10:])


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanogpt", type=Path, help="folder of a nanoGPT clone; it is copied, not changed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        clone = Path(shutil.copytree(options.nanogpt, scratch / "nanoGPT"))
        shutil.copy(fetch(TINY_SHAKESPEARE), clone / "data" / "shakespeare_char" / "input.txt")
        run([sys.executable, "data/shakespeare_char/prepare.py"], clone)
        run([sys.executable, "-m", "ml_playground.cli", "prepare", "shakespeare_char"], scratch)
        theirs, ours = [], []
        for _ in range(ROUNDS):
            theirs.append(nanogpt_step_ms(clone))
            ours.append(our_step_ms(scratch))
    tokens = 1000 * BATCH_SIZE * BLOCK_SIZE
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}\n"
    )
    print("| | ms per step, each round | median | tokens/s |\n| --- | --- | --- | --- |")
    for name, times in (("nanoGPT", theirs), ("ml_playground", ours)):
        rounds, median = ", ".join(f"{time:.1f}" for time in times), statistics.median(times)
        print(f"| {name} | {rounds} | {median:.1f} | {tokens / median:,.0f} |")
    print(f"\nml_playground's speed is {statistics.median(theirs) / statistics.median(ours):.2f} times nanoGPT's")


if __name__ == "__main__":
    main()
