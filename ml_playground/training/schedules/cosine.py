"""A decay along half a cosine."""

import math

from ml_playground.config.sections import DecayingScheduleConfig


class Cosine(DecayingScheduleConfig):
    """Half a cosine from the peak to the lowest rate (Loshchilov & Hutter 2017, "SGDR")."""

    def share(self, progress: float) -> float:
        """See `DecayingScheduleConfig`."""
        return 0.5 * (1 + math.cos(math.pi * progress))
