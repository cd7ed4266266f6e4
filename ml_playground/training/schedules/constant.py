"""A constant learning rate."""

from ml_playground.config.sections import ScheduleConfig


class Constant(ScheduleConfig):
    """The peak rate throughout."""

    def after_warmup(self, step: int, peak: float) -> float:  # noqa: ARG002 -- of other kinds
        """See `ScheduleConfig`."""
        return peak
