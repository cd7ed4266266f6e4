from abc import ABC
from typing import Any

from lit_nlp.api.dataset import Dataset
from lit_nlp.api.model import Model
from lit_nlp.api.types import JsonDict, Spec

class Interpreter(ABC):
    def is_compatible(self, model: Model, dataset: Dataset) -> bool: ...
    def meta_spec(self) -> Spec: ...
    def run(
        self,
        inputs: list[JsonDict],
        model: Model,
        dataset: Dataset,
        model_outputs: list[JsonDict] | None = None,
        config: JsonDict | None = None,
    ) -> Any: ...

class Generator(Interpreter): ...
class Metrics(Interpreter): ...
