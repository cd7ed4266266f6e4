"""`[compare]`: what `compare` puts side by side, and how."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt

from ml_playground.config.fields import Section


class CompareConfig(Section):
    """What is compared, and how."""

    runs: list[Path] = Field(
        [],
        description="run directories, folders of some, or folders of sweeps, the base first; where it is empty, the "
        "file's sweep, or the experiment's runs",
    )
    evaluation: Literal["end", "evaluate"] = Field(
        "end",
        description="`end`: the exact loss at the end of training; `evaluate`: what `evaluate` has measured of "
        "the last checkpoints, so that runs with other windows can be compared",
    )
    horizon: float = Field(
        0.0,
        ge=0,
        description="of a sweep with `horizons`, the one whose runs are compared; 0 is the longest at which every arm "
        "has a run that has ended",
    )
    equivalence: float = Field(
        0.0, ge=0, description="differences below this do not matter, in nats per token; 0 is off"
    )
    axis: Literal["steps", "tokens", "flops", "seconds"] = Field(
        "tokens", description="what the curves in the pictures are drawn over"
    )
    samples: NonNegativeInt = Field(
        2, le=100, description="texts of each group, from the same prompt and seeds, as `[sample]` says; 0 is none"
    )
