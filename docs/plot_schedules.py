"""Draws `schedules.svg` for schedules.md: .venv/bin/python docs/plot_schedules.py."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from ml_playground.config.registries import SCHEDULES

STEPS = 1000
PICTURE = Path(__file__).with_name("schedules.svg")
COMMON = {"warmup_iters": 50, "lr_decay_iters": STEPS, "min_lr": 0.1}


def draw(path: Path) -> None:
    """Write the picture: the learning rate of each step for each kind of schedule, with a peak of 1."""
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "schedules"  # the same picture, the same file
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for kind in SCHEDULES:
        options = SCHEDULES.load(kind)
        schedule = options(**{name: value for name, value in COMMON.items() if name in options.model_fields})
        axes.plot([schedule.learning_rate(step, peak=1.0) for step in range(STEPS)], label=kind)
    axes.set(xlabel="step", ylabel="learning rate, in peaks", ylim=(0, 1.05), xlim=(0, STEPS))
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(PICTURE)
