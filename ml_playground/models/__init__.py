"""Networks that predict the next token, and the one function that builds them."""

from collections.abc import Mapping
from typing import Any

from ml_playground.config.checks import model_mismatches
from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.models.transformer import Transformer

__all__ = ["Cache", "LanguageModel", "build_model"]


def build_model(model_args: Mapping[str, Any]) -> LanguageModel:
    """A new model from its arguments: the keys of `[train.model]` and `vocab_size`.

    Raises:
        CheckpointError: the arguments, which may come from a stranger's file, are not those of a known model.
    """
    options = dict(model_args)
    try:
        vocab_size = int(options.pop("vocab_size"))
        config = ModelConfig.model_validate(options)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {error}") from error
    for _, why in model_mismatches(config):
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {why}")
    return Transformer(config, vocab_size)
