"""How fast training is: seconds to a loss, and steps of the same model."""

from pathlib import Path

from benchmarks.contenders import NanoGPT, Training, train_ours
from benchmarks.report import ROOT, Result, median, rounds
from ml_playground import experiments

ROUNDS = 3
PRESETS = ["shakespeare_char_fast", "shakespeare_char_qwen3"]
BASE = experiments.find("shakespeare_char").config_path
CONFIGS = ROOT / "ml_playground" / "configs"


def time_to_quality(nanogpt: NanoGPT, scratch: Path) -> Result:
    """Seconds of training until the exact validation loss is that of nanoGPT's recipe for a CPU."""
    trainings: dict[str, list[Training]] = {"nanoGPT": [], **{name: [] for name in PRESETS}}
    for index in range(ROUNDS):
        trainings["nanoGPT"].append(nanogpt.train(2000))
        for name in PRESETS:
            trainings[name].append(
                train_ours(
                    CONFIGS / f"{name}.toml",
                    nanogpt.text,
                    scratch / f"{name}-{index}",
                    seed=1337 + index,
                    eval_interval=10**6,
                )
            )
    result = Result("time-to-quality", ["", "exact validation loss", "seconds of training", "median", "whole process"])
    for name, runs in trainings.items():
        seconds = [run.seconds for run in runs]
        result.rows.append(
            [
                f"`{name}`",
                rounds([run.val_loss for run in runs], 4),
                rounds(seconds, 2),
                f"{median(seconds):.2f}",
                f"{median([run.process_seconds for run in runs]):.1f}",
            ]
        )
    theirs = median([run.seconds for run in trainings["nanoGPT"]])
    target = median([run.val_loss for run in trainings["nanoGPT"]])
    for name in PRESETS:
        factor = theirs / median([run.seconds for run in trainings[name]])
        reached = sum(run.val_loss <= target for run in trainings[name])
        result.says.append(
            f"`{name}` takes {factor:.1f} times less training than nanoGPT and is at or under its loss "
            f"in {reached} of {ROUNDS} runs."
        )
    return result


def training_speed(nanogpt: NanoGPT, scratch: Path) -> Result:
    """Milliseconds per step of the same model with the same batches."""
    steps = 300
    theirs, mine = [], []
    for index in range(ROUNDS):
        theirs.append(nanogpt.train(steps).step_ms)
        mine.append(
            train_ours(
                BASE, nanogpt.text, scratch / f"speed-{index}", max_iters=steps, eval_interval=10**6, eval_iters=1
            ).step_ms
        )
    result = Result("training-speed", ["", "ms per step", "median", "tokens/s"])
    for name, times in (("nanoGPT", theirs), ("ml_playground", mine)):
        result.rows.append([name, rounds(times, 1), f"{median(times):.1f}", f"{12 * 64 * 1000 / median(times):,.0f}"])
    result.says.append(f"{median(theirs) / median(mine):.2f} times nanoGPT's speed.")
    return result
