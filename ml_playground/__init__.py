"""Small language-model experiments on one's own machine: prepare, train, sample.

The names below are the public interface (docs/python.md). Each is imported when it is first used, so that importing the
package takes no time; everything else may move from one version to the next.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_playground.api import LoadedRun, TokenScore, load_run, prepare, train
    from ml_playground.commands import load_experiment
    from ml_playground.config.experiment import ExperimentConfig
    from ml_playground.config.fields import Section
    from ml_playground.config.sections import ModelConfig, PrepareConfig, SamplingConfig
    from ml_playground.data.prepare import find_texts, prepare_texts
    from ml_playground.data.tokenizers.base import Tokenizer
    from ml_playground.errors import PlaygroundError
    from ml_playground.experiments import register
    from ml_playground.inference.score import token_losses
    from ml_playground.models.base import LanguageModel
    from ml_playground.run.records import MetricRow

_HOMES = {
    "ExperimentConfig": "config.experiment",
    "LanguageModel": "models.base",
    "LoadedRun": "api",
    "MetricRow": "run.records",
    "ModelConfig": "config.sections",
    "PlaygroundError": "errors",
    "PrepareConfig": "config.sections",
    "SamplingConfig": "config.sections",
    "Section": "config.fields",
    "TokenScore": "api",
    "Tokenizer": "data.tokenizers.base",
    "find_texts": "data.prepare",
    "load_experiment": "commands",
    "load_run": "api",
    "prepare": "api",
    "prepare_texts": "data.prepare",
    "register": "experiments",
    "token_losses": "inference.score",
    "train": "api",
}

__all__ = [
    "ExperimentConfig",
    "LanguageModel",
    "LoadedRun",
    "MetricRow",
    "ModelConfig",
    "PlaygroundError",
    "PrepareConfig",
    "SamplingConfig",
    "Section",
    "TokenScore",
    "Tokenizer",
    "find_texts",
    "load_experiment",
    "load_run",
    "prepare",
    "prepare_texts",
    "register",
    "token_losses",
    "train",
]


if not TYPE_CHECKING:  # a type checker shall report a name that is not there

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
