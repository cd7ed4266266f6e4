"""Many runs at a glance: what each one is and how it stands, from its small files alone."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from ml_playground.errors import RunDirectoryError
from ml_playground.run.opened import Run
from ml_playground.utils.tables import Change, table_at


@dataclass(frozen=True)
class Overview:
    """A run in a line.

    Attributes:
        name: path below the folder that was asked for.
        path: of its folder.
        status: `running`, `killed`, `finished`, `stopped`, `diverged`, `failed`, or `damaged`.
        problem: what is wrong with its files, None if nothing is.
        time: when its last word was written, in UTC; empty if unknown.
        seed: `[train.runtime] seed`.
        parameters: number of trainable values.
        step: optimiser steps done.
        max_iters: optimiser steps in all.
        tokens: trained on.
        seconds: of training.
        flops: floating-point operations of training.
        loss: validation loss in nats per token at the end, or the best so far if it is not finished.
        bits_per_byte: the same in bits per UTF-8 byte.
        loss_at: the step of that evaluation.
        changes: what it changes in the experiment's own configuration; None where that is not known.
    """

    name: str
    path: str
    status: str
    problem: str | None = None
    time: str = ""
    seed: int | None = None
    parameters: int | None = None
    step: int = 0
    max_iters: int = 0
    tokens: int = 0
    seconds: float = 0.0
    flops: int = 0
    loss: float | None = None
    bits_per_byte: float | None = None
    loss_at: int | None = None
    changes: list[Change] | None = None

    @classmethod
    def of(cls, run: Run, name: str, changes: list[Change] | None) -> Self:
        """What there is to say of a run. Raises RunDirectoryError if one of its files is damaged or missing."""
        path, record, summary = run.directory.path, run.record, run.summary
        if record is None:
            raise RunDirectoryError(f"{run.directory.info.name} is missing")
        known: dict[str, Any] = {
            "seed": (table_at(record.config, ("train", "runtime")) or {}).get("seed"),
            "parameters": record.parameters,
            "changes": changes,
        }
        if summary is None:
            time = record.starts[-1].time if record.starts else ""
            return cls(name, str(path), run.status, time=time, **known)
        progress = summary.progress
        loss, bits, at = progress.val_loss, progress.bits_per_byte, progress.evaluated_at
        if summary.status != "finished" and math.isfinite(progress.best_val_loss) and loss > 0:
            # Bits per byte are the loss times a constant of the text.
            loss, bits, at = progress.best_val_loss, bits / loss * progress.best_val_loss, progress.best_step
        if math.isfinite(loss) and math.isfinite(bits):
            known |= {"loss": loss, "bits_per_byte": bits, "loss_at": at}
        return cls(
            name,
            str(path),
            run.status,
            time=summary.time,
            step=progress.step,
            max_iters=summary.max_iters,
            tokens=progress.tokens,
            seconds=progress.seconds,
            flops=progress.flops,
            **known,
        )

    @property
    def is_at_end(self) -> bool:
        """Whether the loss is that of the end of the training."""
        return self.status == "finished"

    def as_json(self) -> dict[str, Any]:
        """Plain values by name; changes are tables with `key`, `before` and `now`."""
        changes = None if self.changes is None else [each._asdict() for each in self.changes]
        return {**asdict(self), "changes": changes}
