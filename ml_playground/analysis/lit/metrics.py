"""How well a run predicts some texts: sums over their tokens, so that each counts once, however long its text is."""

import math
from typing import Any

from lit_nlp.api import types
from lit_nlp.api.components import Metrics
from lit_nlp.api.dataset import Dataset
from lit_nlp.api.model import Model

from ml_playground.analysis.lit.models import subject_of

_BEST = types.MetricBestValue


class LanguageModelMetrics(Metrics):
    """Loss and accuracy over all tokens of the selected texts."""

    def is_compatible(self, model: Model, dataset: Dataset) -> bool:
        """Whether the model is a run's, and the data has texts."""
        return subject_of(model) is not None and "prompt" in dataset.spec()

    def meta_spec(self) -> types.Spec:
        """What is measured."""
        return {
            "bits/byte": types.MetricResult(
                description="loss in bits per UTF-8 byte of the text: comparable between tokenizers",
                best_value=_BEST.LOWEST,
            ),
            "nats/token": types.MetricResult(
                description="loss in nats per token: comparable between runs with the same tokenizer",
                best_value=_BEST.LOWEST,
            ),
            "guessed": types.MetricResult(
                description="share of the tokens that were the likeliest prediction", best_value=_BEST.HIGHEST
            ),
            "tokens": types.MetricResult(description="tokens that were predicted"),
        }

    def run(
        self,
        inputs: list[types.JsonDict],
        model: Model,
        dataset: Dataset,  # noqa: ARG002 -- LIT passes it
        model_outputs: list[types.JsonDict] | None = None,
        config: types.JsonDict | None = None,  # noqa: ARG002 -- LIT passes it
    ) -> list[dict[str, Any]]:
        """The measures of all `inputs` together; none where nothing is predicted."""
        rows = model.predict(inputs) if model_outputs is None else model_outputs
        sums = [row["sums"] for row in rows]
        nats, tokens, size, guessed = (
            sum(each[name] for each in sums) for name in ("nats", "tokens", "bytes", "guessed")
        )
        if not tokens:
            return []
        measures: dict[str, float] = {"nats/token": nats / tokens, "guessed": guessed / tokens, "tokens": tokens}
        if size:
            measures = {"bits/byte": nats / math.log(2) / size, **measures}
        return [{"pred_key": "text", "label_key": "target", "metrics": measures}]
