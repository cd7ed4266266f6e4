"""A decay that never ends."""

import math

from pydantic import Field

from ml_playground.config.sections import ScheduleConfig


class InverseSqrt(ScheduleConfig):
    """The inverse square root of the step (Vaswani et al. 2017, section 5.3)."""

    min_lr: float = Field(0.0, ge=0, description="lowest learning rate")

    def after_warmup(self, step: int, peak: float) -> float:
        """See `ScheduleConfig`."""
        return max(self.min_lr, peak * math.sqrt((self.warmup_iters + 1) / (step + 1)))
