"""How far a run is."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ml_playground.errors import DamagedCheckpointError
from ml_playground.run.seal import read_header

FORMAT = 6
"""Of checkpoints."""


@dataclass
class Progress:
    """The state of the loop, saved with every checkpoint. Losses are infinite until they are measured."""

    step: int = 0  # optimiser steps done
    tokens: int = 0  # trained on in them
    seconds: float = 0.0  # spent in them; evaluating and saving are left out
    flops: int = 0  # floating-point operations in them, by the model's estimate per token
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
        """Raises TypeError if a value that was read is not a number of its kind."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise TypeError(f"progress.{field.name} is {value!r}, not {field.type}")

    def as_json(self) -> dict[str, float | None]:
        """The values for a JSON file, which knows no infinity: None is what was not measured yet."""
        return {key: value if math.isfinite(value) else None for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "Progress":
        """What `as_json` gave, among other values.

        Raises:
            DamagedCheckpointError: it is not there.
        """
        try:
            known = {field.name: values[field.name] for field in fields(cls)}
            progress = cls(**{key: math.inf if value is None else value for key, value in known.items()})  # type: ignore[arg-type]  # checked below
            progress.check_types()
        except (KeyError, TypeError) as error:
            raise DamagedCheckpointError(f"not the progress of a run ({error})") from error
        return progress


def load_progress(path: Path) -> Progress | None:
    """How far a checkpoint is, read without its weights; None for nanoGPT's and other formats, which do not say.

    Raises:
        DamagedCheckpointError: the file is cut short or altered where this is written.
        CheckpointError: the file is missing.
    """
    header = read_header(path)
    if header is None or header.get("format") != FORMAT:
        return None
    return Progress.from_json(header)
