"""LIT's web application, with what it shows of some runs."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import resources
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

from lit_nlp.api.components import Interpreter
from lit_nlp.api.layout import LayoutSettings, LitCanonicalLayout, LitModuleName
from lit_nlp.api.model import Model
from lit_nlp.app import LitApp
from lit_nlp.components import core
from lit_nlp.components.nearest_neighbors import NearestNeighbors
from lit_nlp.components.pca import PCAModel
from lit_nlp.components.projection import ProjectionManager
from lit_nlp.components.scrambler import Scrambler
from lit_nlp.components.word_replacer import WordReplacer
from lit_nlp.lib.wsgi_app import App
from werkzeug.wrappers import Request, Response

from ml_playground.analysis.examples import Example
from ml_playground.analysis.lit import attention
from ml_playground.analysis.lit.datasets import NEXT, texts, vocabulary
from ml_playground.analysis.lit.metrics import LanguageModelMetrics
from ml_playground.analysis.lit.models import CLASSES, models_of, works
from ml_playground.analysis.lit.subject import Subject
from ml_playground.analysis.states import token_table
from ml_playground.errors import PlaygroundError

CLIENT = Path(str(resources.files("lit_nlp"))) / "client" / "build" / "default"
"""LIT's page, as its package brings it."""

_MODULES = LitModuleName
_LAYOUTS = {
    "default": LitCanonicalLayout(
        left={
            "Examples": [_MODULES.DataTableModule],
            "Embeddings": [_MODULES.EmbeddingsModule],
            "Generators": [_MODULES.GeneratorModule],
        },
        upper={
            "Salience": [_MODULES.SequenceSalienceModule],
            "Attention": [_MODULES.LegacySequenceSalienceModule],
            "Continuation": [_MODULES.GeneratedTextModule],
            "Next token": [_MODULES.ClassificationModule],
        },
        lower={
            "Editor": [_MODULES.DatapointEditorModule],
            "Metrics": [_MODULES.MetricsModule],
            "Scalars": [_MODULES.ScalarModule],
            "Confusion": [_MODULES.ConfusionMatrixModule],
        },
        layoutSettings=LayoutSettings(mainHeight=55, leftWidth=40),
        description="texts and embeddings on the left, one text in detail above, all of them together below",
    )
}


class _PlaygroundApp(LitApp):
    """LIT, which shows a mistake of the user's, such as a character that is not in a vocabulary, as a message."""

    def make_handler(self, fn: Callable[..., Any]) -> Callable[[App, Request, WSGIEnvironment], Response]:
        """What answers a request with what `fn` returns."""
        handler = super().make_handler(fn)

        @wraps(handler)
        def explained(app: App, request: Request, environ: WSGIEnvironment) -> Response:
            try:
                return handler(app, request, environ)
            except PlaygroundError as error:
                # The page shows what comes before the details.
                return app.respond(request, f"{error}\n\nDetails: {error}", "text/plain", 400)

        return explained


def build_app(
    subjects: Sequence[Subject],
    abouts: Sequence[str],
    examples: Sequence[Example],
    samples: Sequence[Sequence[Example]],
    title: str,
) -> LitApp:
    """LIT with some runs.

    Args:
        subjects: the runs, whose names are different.
        abouts: what the page says of each.
        examples: texts of the validation split.
        samples: the texts that each run has sampled.
        title: of the page.
    """
    getLogger("absl").setLevel(ERROR)  # below that LIT reports each request
    first = subjects[0]
    datasets = {"validation": texts(examples, "texts of the validation split", first)}
    models: dict[str, Model] = {}
    for subject, about, own in zip(subjects, abouts, samples, strict=True):
        same = subject.tokenizer.describe() == first.tokenizer.describe()
        has_next = same and first.tokenizer.vocab_size <= CLASSES
        models |= models_of(subject, about, next_field=NEXT if has_next else None)
        if own:
            datasets[f"samples of {subject.name}"] = texts(own, f"texts that {subject.name} has sampled", subject)
        if works(partial(token_table, subject.model)):
            datasets[f"vocabulary of {subject.name}"] = vocabulary(subject, examples)
    interpreters: dict[str, Interpreter] = {
        **core.required_interpreters(),
        "nearest neighbors": NearestNeighbors(),
        "pca": ProjectionManager(PCAModel),
        attention.NAME: attention.Attention(list(subjects)),
    }
    return _PlaygroundApp(
        models,
        datasets,
        generators={"Word Replacer": WordReplacer(), "Scrambler": Scrambler()},
        interpreters=interpreters,
        metrics={"model": LanguageModelMetrics()},
        layouts=_LAYOUTS,
        model_loaders={},
        dataset_loaders={},
        client_root=str(CLIENT),
        demo_mode=True,  # otherwise the page may have files opened and written
        default_layout="default",
        page_title=title,
    )
