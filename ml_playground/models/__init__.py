"""Networks that predict the next token, and the one function that builds them."""

from collections.abc import Mapping
from typing import Any

from ml_playground.errors import CheckpointError
from ml_playground.models.base import LanguageModel
from ml_playground.models.gpt import GPT

__all__ = ["LanguageModel", "build_model"]


def build_model(model_args: Mapping[str, Any]) -> LanguageModel:
    """A new model from its arguments: the keys of `[train.model]` and `vocab_size`.

    Raises:
        CheckpointError: the arguments, which may come from a stranger's file, are not those of a known model.
    """
    try:
        return GPT(**model_args)
    except (TypeError, ValueError, ArithmeticError, AssertionError) as error:
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {error}") from error
