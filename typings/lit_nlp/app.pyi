from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from lit_nlp.api.components import Generator, Interpreter, Metrics
from lit_nlp.api.dataset import Dataset
from lit_nlp.api.layout import LitCanonicalLayout
from lit_nlp.api.model import Model
from lit_nlp.lib.wsgi_app import App
from werkzeug.wrappers import Request, Response

class LitApp:
    def __init__(
        self,
        models: Mapping[str, Model],
        datasets: Mapping[str, Dataset],
        *,
        generators: Mapping[str, Generator],
        interpreters: Mapping[str, Interpreter],
        metrics: Mapping[str, Metrics],
        layouts: Mapping[str, LitCanonicalLayout],
        model_loaders: Mapping[str, Any],
        dataset_loaders: Mapping[str, Any],
        client_root: str,
        demo_mode: bool,
        default_layout: str,
        page_title: str,
        onboard_start_doc: str | None = None,
    ) -> None: ...
    def make_handler(self, fn: Callable[..., Any]) -> Callable[[App, Request, WSGIEnvironment], Response]: ...
    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]: ...
