"""A run as LIT knows models: three for each, whose names and fields its page expects.

`<run>` measures texts and continues prompts, `_<run>_salience` says what the prediction of a token depends on, and
`_<run>_tokenizer` shows tokens. All three cut texts at the same place, so that tokens and scores stay in line.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from lit_nlp.api import types
from lit_nlp.api.dtypes import DataTuple
from lit_nlp.api.model import Model, ModelWrapper

from ml_playground.analysis.attention import attention_layers
from ml_playground.analysis.lit.subject import Passage, Subject
from ml_playground.analysis.passage import fits_forward
from ml_playground.analysis.salience import erasure, gradient_salience
from ml_playground.analysis.states import pooled_states
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel

CLASSES = 300
"""Up to so many ids the next token is shown as one class among all, otherwise as a list of the likeliest."""

ERASURE_FLOPS = 4e10
"""Erasure leaves out the nearest tokens before a target, as many as this suffices for: half a second on 2 cores."""

_LEAST_REACH = 8
_ERASED_AT_ONCE = 16
_CANDIDATES = 10
_SCALE = 16  # bits per byte, at which the page ends its scale

Row = dict[str, Any]
TEXTS: types.Spec = {
    "prompt": types.TextSegment(required=False),  # a row of a vocabulary has none
    "target": types.TextSegment(required=False),
}


class Generated(DataTuple):
    """A text that is generated when the page first asks for it, since that takes far longer than measuring."""

    def __init__(self, generate: Callable[[], str]) -> None:
        vars(self)["generate"] = cache(generate)  # the base class freezes attributes

    def to_json(self) -> str:
        """What is sent."""
        text: str = vars(self)["generate"]()
        return text


class _RowByRow(Model):
    """A model that computes each row by itself, while others wait for their turn."""

    def __init__(self, subject: Subject, about: str) -> None:
        self.subject = subject
        self._about = about

    def description(self) -> str:
        """For the page."""
        return self._about

    def input_spec(self) -> types.Spec:
        """The fields of a row."""
        return TEXTS

    @property
    def supports_concurrent_predictions(self) -> bool:
        """Requests take turns row by row, not as a whole."""
        return True

    def predict(self, inputs: Iterable[types.JsonDict]) -> Iterator[Row]:
        """A row of outputs for each of inputs."""
        for row in inputs:
            with self.subject.turns:
                outputs = self.outputs(row, self.passage(row))
            yield outputs

    def passage(self, row: Mapping[str, Any]) -> Passage:
        """The tokens of a row."""
        return self.subject.passage(row.get("prompt") or "", row.get("target") or "")

    def outputs(self, row: Mapping[str, Any], passage: Passage) -> Row:
        """The values of `output_spec`."""
        raise NotImplementedError


class RunModel(_RowByRow):
    """`<run>`: what the page shows of each text."""

    def __init__(self, subject: Subject, about: str, *, next_field: str | None = None) -> None:
        """`next_field` is the field of the data that has the label of the true next token, if one has."""
        super().__init__(subject, about)
        self._labels = subject.labels()
        self._next_field = next_field
        self._has_state = works(partial(pooled_states, subject.model, [[0]], subject.runtime))

    @property
    def _has_classes(self) -> bool:
        return len(self._labels) <= CLASSES

    def output_spec(self) -> types.Spec:
        """The fields of `outputs`."""
        if self._has_classes:
            following: types.LitType = types.MulticlassPreds(vocab=self._labels, parent=self._next_field, autosort=True)
        else:
            following = types.GeneratedTextCandidates()
        return {
            "response": types.GeneratedText(parent="target"),
            "next_token": following,
            "bits_per_byte": types.Scalar(max_val=_SCALE),
            "nats_per_token": types.Scalar(max_val=_SCALE),
            "guessed": types.Scalar(),
            **({"state": types.Embeddings()} if self._has_state else {}),
        }

    def outputs(self, row: Mapping[str, Any], passage: Passage) -> Row:  # noqa: ARG002 -- as all of them
        """Of one text: beside the fields of `output_spec` the sums that metrics add up."""
        subject = self.subject
        sums = self._sums(passage)
        tokens, size = sums["tokens"], sums["bytes"]
        found: Row = {
            "response": Generated(partial(subject.response, passage)),
            "next_token": self._next(passage),
            "bits_per_byte": sums["nats"] / math.log(2) / size if size else 0.0,
            "nats_per_token": sums["nats"] / tokens if tokens else 0.0,
            "guessed": sums["guessed"] / tokens if tokens else 0.0,
            "sums": sums,
        }
        if self._has_state:
            found["state"] = pooled_states(subject.model, [passage.ids], subject.runtime)[0]
        return found

    def _sums(self, passage: Passage) -> dict[str, float]:
        scores = self.subject.scores(passage)
        if scores is None:
            return {"nats": 0.0, "tokens": 0, "bytes": 0, "guessed": 0}
        return {
            "nats": float(scores.nats.sum(dtype=np.float64)),
            "tokens": len(scores.ids),
            "bytes": self.subject.text_bytes(passage.ids[1:]),
            "guessed": int(scores.right.sum()),
        }

    def _next(self, passage: Passage) -> object:
        probabilities = self.subject.next_token(passage)
        if self._has_classes:
            return probabilities
        likeliest: list[int] = np.argsort(-probabilities, kind="stable")[:_CANDIDATES].tolist()
        return [(self._labels[token], float(np.log(max(probabilities[token], 1e-30)))) for token in likeliest]


class SalienceModel(_RowByRow):
    """`_<run>_salience`: what the prediction of the marked tokens depends on."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject, f"what the predictions of {subject.name} depend on")
        model, runtime = subject.model, subject.runtime
        self._has_gradients = works(partial(gradient_salience, model, [0, 0], [1], runtime))
        self._layers, _ = attention_shape(subject)
        self._reach = erasure_reach(model)
        # What was not measured would look as if it had no effect, so the name says how far it reaches.
        self._erasure = "erasure" if self._reach >= model.block_size - 1 else f"erasure_nearest_{self._reach}"

    def input_spec(self) -> types.Spec:
        """A text, and which of its tokens are to be explained."""
        return {**TEXTS, "target_mask": types.TokenScores(align="", required=False)}

    def output_spec(self) -> types.Spec:
        """Each field of scores is a method that the page offers."""
        methods = ["bits", self._erasure, *self._attention_fields()]
        if self._has_gradients:
            methods = ["grad_l2", "grad_dot_input", *methods]
        return {
            "tokens": types.Tokens(token_prefix=None),
            **{each: types.TokenScores(align="tokens") for each in methods},
        }

    def _attention_fields(self) -> list[str]:
        return [f"attention_layer_{layer}" for layer in self._layers]

    def outputs(self, row: Mapping[str, Any], passage: Passage) -> Row:
        """Scores of all tokens; 0 where a method has none."""
        subject, ids = self.subject, passage.ids
        mask: list[float] = row.get("target_mask") or []
        targets = [place for place, wanted in enumerate(mask[: len(ids)]) if wanted and place > 0]
        model, runtime, count = subject.model, subject.runtime, len(ids)
        scores = subject.scores(passage)
        bits = [] if scores is None else [0.0, *(scores.nats / math.log(2)).tolist()]
        found: Row = {"tokens": subject.tokens(ids), "bits": bits or [0.0] * count}
        if not targets:
            return found | {each: [0.0] * count for each in self.output_spec() if each not in found}
        if self._has_gradients:
            gradient = gradient_salience(model, ids, targets, runtime)
            found |= {"grad_l2": gradient.l2, "grad_dot_input": gradient.dot_input}
        found[self._erasure] = erasure(model, ids, targets, runtime, reach=self._reach)
        if self._layers:
            # A token is predicted by the position before it.
            places = [place - 1 for place in targets]
            layers = attention_layers(model, ids, runtime, lambda weights: weights[:, places].mean(axis=(0, 1)))
            found |= dict(zip(self._attention_fields(), (means for _, means in layers), strict=True))
        return found


class TokenizerModel(_RowByRow):
    """`_<run>_tokenizer`: the tokens of a text."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject, f"the tokenizer of {subject.name}")

    def output_spec(self) -> types.Spec:
        """The tokens."""
        return {"tokens": types.Tokens(token_prefix=None)}

    def outputs(self, row: Mapping[str, Any], passage: Passage) -> Row:  # noqa: ARG002 -- as all of them
        """The tokens."""
        return {"tokens": self.subject.tokens(passage.ids)}


def models_of(subject: Subject, about: str, *, next_field: str | None = None) -> dict[str, Model]:
    """The three models of a run, by their names."""
    return {
        subject.name: RunModel(subject, about, next_field=next_field),
        f"_{subject.name}_salience": SalienceModel(subject),
        f"_{subject.name}_tokenizer": TokenizerModel(subject),
    }


def subject_of(model: Model) -> Subject | None:
    """The run of a visible model as LIT passes it on; None for other models."""
    inner = model.wrapped if isinstance(model, ModelWrapper) else model
    return inner.subject if isinstance(inner, RunModel) else None


def attention_shape(subject: Subject) -> tuple[list[int], int]:
    """The numbers of the layers, see `attention_layers`, and how many heads each has; none if it cannot be read."""
    try:
        layers = attention_layers(subject.model, [0], subject.runtime, len)
    except AnalysisError:
        return [], 0
    return [number for number, _ in layers], layers[0][1]


def erasure_reach(model: LanguageModel) -> int:
    """How many tokens before a target `ERASURE_FLOPS` suffices to leave out, at least 8.

    For one that is r tokens before the target, r tokens are computed anew, and up to 16 more, as so many texts are
    computed at once. A model without a cache computes all that its context holds.
    """
    budget = ERASURE_FLOPS / forward_flops(model)
    if not fits_forward(model, "extend_all"):
        return max(_LEAST_REACH, int(budget / model.block_size))
    # R tokens take R * (R + 16) / 2.
    half = _ERASED_AT_ONCE / 2
    return max(_LEAST_REACH, int(math.sqrt(half**2 + 2 * budget) - half))


def forward_flops(model: LanguageModel) -> float:
    """Of a forward pass, per token of a full context; at least 1, as models of tables alone take none.

    With the backward pass a weight that is trained takes three times as many, a frozen one twice.
    """
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained) / sum(size for size, _ in sizes)
    return max(1.0, model.flops_per_token(model.block_size) / (2 + trained))


def works(analysis: Callable[[], object]) -> bool:
    """Whether a model is of a kind that can be analysed so."""
    try:
        analysis()
    except AnalysisError:
        return False
    return True
