"""What one change does to the loss of shakespeare_char: the presets of `configs/ablations/`."""

import statistics
from pathlib import Path

from benchmarks.contenders import NanoGPT, train_ours
from benchmarks.report import OUT, ROOT, Result, revision, rounds
from benchmarks.training import BASE, CONFIGS

SEEDS = (1337, 1, 2)


def ablations(nanogpt: NanoGPT, _scratch: Path) -> Result:
    """Exact validation loss over seeds. Finished trainings of a commit are kept: when interrupted, it goes on."""
    result = Result("ablations", ["preset", "changes", "validation loss", "mean", "std", "against the base"])
    base = 0.0
    for preset in [BASE, *sorted((CONFIGS / "ablations").glob("*.toml"))]:
        losses = [_loss(preset, nanogpt.text, seed) for seed in SEEDS]
        mean = statistics.mean(losses)
        if preset == BASE:
            name, change, difference = "`shakespeare_char`", "", ""
            base = mean
        else:
            name, change, difference = f"`{preset.stem}`", _change(preset), f"{mean - base:+.4f}"
        std = f"{statistics.stdev(losses):.4f}"
        result.rows.append([name, change, rounds(losses, 4), f"{mean:.4f}", std, difference])
    return result


def _loss(preset: Path, text: Path, seed: int) -> float:
    folder = OUT / "ablations" / revision(ROOT) / text.stem / f"{preset.stem}-{seed}"
    return train_ours(preset, text, folder, seed=seed, eval_interval=10**6).val_loss


def _change(preset: Path) -> str:
    """What its last two lines say."""
    table, assignment = preset.read_text().splitlines()[-2:]
    return f"`{table} {assignment}`"
