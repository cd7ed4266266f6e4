"""Warm-up, stable, decay."""

from pydantic import Field

from ml_playground.training.schedules.linear import Linear


class WSD(Linear):
    """The peak, then a line to the lowest rate (Hu et al. 2024, "MiniCPM")."""

    decay_share: float = Field(0.2, gt=0, le=1, description="share of the steps in which the rate decays")

    @property
    def decay_start(self) -> int:
        """See `DecayingScheduleConfig`."""
        return max(self.warmup_iters, round(self.lr_decay_iters * (1 - self.decay_share)))
