"""Learning rates as pure functions of the step."""

import math
from collections.abc import Callable, Iterator

from ml_playground.config.sections import ScheduleConfig


def learning_rate(step: int, *, peak: float, schedule: ScheduleConfig) -> float:
    """The rate of a step, of which 0 is the first: linear warm-up to `peak`, then what the schedule's kind says."""
    warmup, end, lowest = schedule.warmup_iters, schedule.lr_decay_iters, schedule.min_lr
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule.kind == "constant" or not schedule.decay_lr:
        return peak
    if schedule.kind == "inverse_sqrt":  # Vaswani et al. 2017, section 5.3
        return max(lowest, peak * math.sqrt((warmup + 1) / (step + 1)))
    if step >= end:
        return lowest
    if schedule.kind == "wsd":  # Hu et al. 2024, "MiniCPM"
        start = max(warmup, round(end * (1 - schedule.decay_share)))
        return peak if step < start else lowest + _DECAYS["linear"]((step - start) / (end - start)) * (peak - lowest)
    return lowest + _DECAYS[schedule.kind]((step - warmup) / (end - warmup)) * (peak - lowest)


_DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),  # Loshchilov & Hutter 2017, "SGDR"
    "linear": lambda progress: 1 - progress,
}


def schedule_warnings(schedule: ScheduleConfig, *, max_iters: int) -> Iterator[str]:
    """What of a schedule is likely not meant."""
    if schedule.decays_to_an_end and schedule.lr_decay_iters < max_iters:
        yield (
            f"[train.schedule] lr_decay_iters = {schedule.lr_decay_iters:,}: the last "
            f"{max_iters - schedule.lr_decay_iters:,} steps run at min_lr = {schedule.min_lr:g}."
        )
    if schedule.decays_to_an_end and schedule.lr_decay_iters > max_iters:
        yield f"[train.schedule] lr_decay_iters = {schedule.lr_decay_iters:,}: training ends before, at {max_iters:,}."
    if schedule.warmup_iters > max_iters / 2:
        yield f"[train.schedule] warmup_iters = {schedule.warmup_iters:,} is more than half of the training."
