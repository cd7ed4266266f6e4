"""What a page about a model is about, and what it is made from."""

from dataclasses import dataclass
from typing import Any

from ml_playground.analysis.page import Cell, Column, Details, Table
from ml_playground.data.store import Dataset, Tokens
from ml_playground.evaluation import Evaluator
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime


@dataclass(frozen=True)
class Source:
    """What a page about a model was made from: it is up to date while this is the same.

    Attributes:
        checkpoint: file or folder of the weights, below the run directory.
        sha256: of the weights.
        step: optimiser steps done.
        data: fingerprint of the prepared data.
        settings: all options that decide what the page says, and the `version` of what is measured and shown.
    """

    checkpoint: str
    sha256: str
    step: int
    data: str
    settings: dict[str, Any]


def made_from(source: Source) -> Details:
    """What a page was made from, folded away."""
    stated = {
        "checkpoint": source.checkpoint,
        "SHA-256 of its weights": source.sha256,
        "fingerprint of the data": source.data,
        **source.settings,
    }
    rows: list[list[Cell]] = [[name, str(value)] for name, value in stated.items()]
    return Details("What this was made from", [Table([Column("name"), Column("value")], rows)])


@dataclass(frozen=True)
class Subject:
    """A model, what it was trained on and how it is evaluated.

    Attributes:
        model: in evaluation mode, on the runtime's device.
        context: tokens per window of an evaluation.
        evaluator: of the validation text.
    """

    model: LanguageModel
    dataset: Dataset
    runtime: Runtime
    context: int
    evaluator: Evaluator

    def of_training_text(self) -> Evaluator:
        """Of as much of the training text as there is validation text, spread evenly over it."""
        return self.of(self.dataset.train, self.evaluator.predictions, spread=True)

    def of(self, tokens: Tokens, predictions: int, *, spread: bool = False) -> Evaluator:
        """Of another text, whose bytes do not matter: of its first tokens, or `spread` over it."""
        return Evaluator(
            tokens,
            text_bytes=1,
            vocab_size=self.dataset.tokenizer.vocab_size,
            context=self.context,
            max_tokens=predictions,
            spread=spread,
        )
