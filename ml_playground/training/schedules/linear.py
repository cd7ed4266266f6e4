"""A linear decay."""

from ml_playground.config.sections import DecayingScheduleConfig


class Linear(DecayingScheduleConfig):
    """A line from the peak to the lowest rate."""

    def share(self, progress: float) -> float:
        """See `DecayingScheduleConfig`."""
        return 1 - progress
