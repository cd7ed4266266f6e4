"""Attention, in the one panel of LIT that shows a whole matrix: that of its older sequence salience."""

from typing import Any

import numpy as np
import numpy.typing as npt
from lit_nlp.api import types
from lit_nlp.api.components import Interpreter
from lit_nlp.api.dataset import Dataset
from lit_nlp.api.dtypes import SequenceSalienceMap
from lit_nlp.api.model import Model

from ml_playground.analysis.attention import attention_layers
from ml_playground.analysis.lit.models import attention_shape, subject_of
from ml_playground.analysis.lit.subject import Subject
from ml_playground.analysis.scores import Floats

NAME = "sequence_salience"
"""The panel finds it by this name."""

_MOST_WEIGHTS = 2**21  # sent at once; beyond it only the means of the layers are


class Attention(Interpreter):
    """What each token of the target attends to, by layer and head: the weights of the position that predicts it."""

    def __init__(self, subjects: list[Subject]) -> None:
        """Have a field for each layer and head of any of the runs."""
        shapes = {subject.name: attention_shape(subject) for subject in subjects}
        self._layers = {name: len(layers) for name, (layers, _) in shapes.items()}
        names = {_field(layer) for layers, _ in shapes.values() for layer in layers}
        names |= {_field(layer, head) for layers, heads in shapes.values() for layer in layers for head in range(heads)}
        self._fields = sorted(names, key=lambda name: [int(word) for word in name.split() if word.isdigit()])

    def is_compatible(self, model: Model, dataset: Dataset) -> bool:
        """Whether the model is a run's, and the data has texts."""
        return subject_of(model) is not None and "prompt" in dataset.spec() and bool(self._fields)

    def meta_spec(self) -> types.Spec:
        """A field for each matrix."""
        return {name: types.SequenceSalience(signed=False) for name in self._fields}

    def run(
        self,
        inputs: list[types.JsonDict],
        model: Model,
        dataset: Dataset,  # noqa: ARG002 -- LIT passes it
        model_outputs: list[types.JsonDict] | None = None,  # noqa: ARG002 -- LIT passes it
        config: types.JsonDict | None = None,
    ) -> list[dict[str, Any]]:
        """For each text, the matrices of shape (T of the target, T)."""
        subject = subject_of(model)
        assert subject is not None  # it is compatible
        targets: list[str] = (config or {}).get("target_text") or [row.get("target") or "" for row in inputs]
        with subject.turns:
            return [self._maps(subject, row, target) for row, target in zip(inputs, targets, strict=True)]

    def _maps(self, subject: Subject, row: types.JsonDict, target: str) -> dict[str, Any]:
        passage = subject.passage(row.get("prompt") or "", target)
        ids, tokens = passage.ids, subject.tokens(passage.ids)
        if passage.target == len(ids):  # the panel cannot show a matrix without rows
            return {}

        def shown(weights: Floats) -> list[Floats]:
            """The mean of a layer's heads, and these where they are not too many."""
            # A token is predicted by the position before it, and nothing predicts the first.
            heads = weights[:, max(passage.target - 1, 0) : -1]
            heads = heads if passage.target else np.pad(heads, ((0, 0), (1, 0), (0, 0)))
            return [heads.mean(axis=0), *(heads if self._layers[subject.name] * heads.size <= _MOST_WEIGHTS else ())]

        matrices = {
            _field(layer, None if number == 0 else number - 1): matrix
            for layer, some in attention_layers(subject.model, ids, subject.runtime, shown)
            for number, matrix in enumerate(some)
        }
        return {
            name: SequenceSalienceMap(
                tokens_in=tokens[: passage.target], tokens_out=tokens[passage.target :], salience=_short(matrix)
            )
            for name, matrix in matrices.items()
        }


def _field(layer: int, head: int | None = None) -> str:
    """What the page calls a matrix: heads are shown from 1, as layers are."""
    return f"layer {layer}" + ("" if head is None else f" head {head + 1}")


def _short(matrix: npt.NDArray[np.float32]) -> list[list[float]]:
    """The same numbers with few digits, of which the page gets millions."""
    rounded: list[list[float]] = matrix.astype(np.float64).round(4).tolist()
    return rounded
