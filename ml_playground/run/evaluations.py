"""`evaluations.json`: what `evaluate` measured of a run's checkpoints."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict

from ml_playground.run.records import read_record
from ml_playground.utils.files import write_json


@dataclass(frozen=True)
class StoredEvaluation:
    """A checkpoint, measured on the validation text.

    Attributes:
        checkpoint: name of its file.
        digest: SHA-256 that the checkpoint records of itself, by which a later one of that name is told apart.
        step: optimiser steps done.
        context: tokens per window.
        stride: tokens from one window to the next.
        tokens: how many were predicted.
        loss: in nats per token.
        bits_per_byte: the same in bits per UTF-8 byte of the raw text.
        accuracy: share of the tokens that were the likeliest prediction, 0 to 1.
        text: SHA-256 of the validation text, the same whatever its tokens are.
        token_ids: SHA-256 of `val.bin`.
        time: when, in UTC.
        windows: path below the run directory of the file with what each window sums to (`run.windows`).
    """

    checkpoint: str
    digest: str
    step: int
    context: int
    stride: int
    tokens: int
    loss: float
    bits_per_byte: float
    accuracy: float
    text: str
    token_ids: str
    time: str
    windows: str

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    @property
    def measures(self) -> tuple[str, int, int]:
        """What it is the result of: a newer one replaces it."""
        return self.checkpoint, self.context, self.stride


def read_evaluations(path: Path) -> list[StoredEvaluation]:
    """Those that `add_evaluations` has written, the latest last. Raises RunDirectoryError if the file is damaged."""
    return read_record(path, list[StoredEvaluation]) or []


def add_evaluations(path: Path, new: list[StoredEvaluation]) -> None:
    """Add some, each in the place of an earlier one of the same checkpoint and settings.

    Raises:
        RunDirectoryError: the file is damaged.
        StorageError: the system refuses.
    """
    replaced = {each.measures for each in new}
    kept = [each for each in read_evaluations(path) if each.measures not in replaced]
    write_json(path, [asdict(each) for each in (*kept, *new)])
