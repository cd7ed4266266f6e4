"""What is written in a run's files of JSON: a class for each, which writes and reads it.

Nothing here imports torch, so that a list of many runs shows at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MetricRow:
    """A row of `metrics.jsonl`: what was measured after a step.

    Attributes:
        step: optimiser steps done.
        tokens: trained on in them.
        seconds: spent in them; evaluating and saving are left out.
        flops: floating-point operations in them, by the model's estimate per token.
        values: what was measured, by name, such as `train/loss`; null in the file, and left out here, where it is not
            a finite number.
    """

    step: int
    tokens: int
    seconds: float
    flops: int
    values: dict[str, float]

    @classmethod
    def of(cls, step: int, values: Mapping[str, float]) -> "MetricRow":
        """The row of what a sink was given."""
        measured = dict(values)
        tokens, seconds, flops = (measured.pop(name, 0) for name in ("tokens", "seconds", "flops"))
        return cls(step, int(tokens), seconds, int(flops), measured)

    def as_json(self) -> dict[str, Any]:
        """The row as it is in the file."""
        measured = {name: value if math.isfinite(value) else None for name, value in self.values.items()}
        return {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "flops": self.flops, **measured}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "MetricRow":
        """What `as_json` gave, which has a `step`."""
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
        return cls.of(int(numbers.pop("step")), numbers)
