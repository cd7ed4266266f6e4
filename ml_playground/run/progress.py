"""How far a run is."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ml_playground.errors import DamagedCheckpointError
from ml_playground.run.seal import read_header

FORMAT = 6
"""The version of the checkpoint format."""


@dataclass
class Progress:
    """The state of the loop, saved with every checkpoint. Losses are infinite until they are measured."""

    step: int = 0  # optimiser steps done
    tokens: int = 0  # tokens trained on
    seconds: float = 0.0  # of training; evaluating and saving are not counted
    flops: int = 0  # floating-point operations, by the model's estimate per token
    evaluated_at: int = -1  # step of the last evaluation
    val_loss: float = math.inf
    bits_per_byte: float = math.inf
    best_val_loss: float = math.inf
    best_step: int = -1
    evals_since_best: int = 0

    def record_evaluation(self, val_loss: float, bits_per_byte: float) -> None:
        """Record an evaluation after the present step."""
        self.evaluated_at, self.val_loss, self.bits_per_byte = self.step, val_loss, bits_per_byte
        improved = val_loss < self.best_val_loss
        if improved:
            self.best_val_loss, self.best_step = val_loss, self.step
        self.evals_since_best = 0 if improved else self.evals_since_best + 1

    def check_types(self) -> None:
        """Raises TypeError if a value has the wrong type."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise TypeError(f"progress.{field.name} is {value!r}, not {field.type}")

    def as_json(self) -> dict[str, float | None]:
        """The values for a JSON file. JSON has no infinity: None is a value not measured yet."""
        return {key: value if math.isfinite(value) else None for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "Progress":
        """Read what `as_json` returned; other keys are ignored.

        Raises:
            DamagedCheckpointError: a value is missing or has the wrong type.
        """
        try:
            known = {field.name: values[field.name] for field in fields(cls)}
            progress = cls(**{key: math.inf if value is None else value for key, value in known.items()})  # type: ignore[arg-type]  # checked below
            progress.check_types()
        except (KeyError, TypeError) as error:
            raise DamagedCheckpointError(f"not the progress of a run ({error})") from error
        return progress


def load_progress(path: Path) -> Progress | None:
    """A checkpoint's progress, read without its weights; None for nanoGPT's and other formats, which do not record it.

    Raises:
        DamagedCheckpointError: the part of the file that holds it is cut short or altered.
        CheckpointError: the file is missing.
    """
    header = read_header(path)
    if header is None or header.get("format") != FORMAT:
        return None
    return Progress.from_json(header)
