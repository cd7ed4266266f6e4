"""A schedule in steps."""

from pydantic import Field, PositiveInt

from ml_playground.config.sections import ScheduleConfig


class Staircase(ScheduleConfig):
    """Half of the rate after every so many steps."""

    every: PositiveInt = Field(100, description="steps between two halvings")

    def after_warmup(self, step: int, peak: float) -> float:
        """See `ScheduleConfig`."""
        return float(peak / 2 ** (step // self.every))
