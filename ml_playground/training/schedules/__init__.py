"""Schedules of the learning rate: a file each, with its options, and a line in `config/registries.py`."""

from collections.abc import Iterator

from ml_playground.config.sections import DecayingScheduleConfig, ScheduleConfig


def schedule_warnings(schedule: ScheduleConfig, *, max_iters: int) -> Iterator[str]:
    """Warnings about settings of a schedule that are likely mistakes."""
    if isinstance(schedule, DecayingScheduleConfig):
        end = schedule.lr_decay_iters
        if end < max_iters:
            yield (
                f"[train.schedule] lr_decay_iters = {end:,}: the last {max_iters - end:,} steps run at "
                f"min_lr = {schedule.min_lr:g}."
            )
        if end > max_iters:
            yield f"[train.schedule] lr_decay_iters = {end:,}: training ends earlier, at {max_iters:,}."
    if schedule.warmup_iters > max_iters / 2:
        yield f"[train.schedule] warmup_iters = {schedule.warmup_iters:,} is more than half of the training."
