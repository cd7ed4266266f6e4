"""Networks that predict the next token, and the one function that builds them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_playground.config.checks import model_mismatches
from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError
from ml_playground.imports import import_file
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.models.transformer import Transformer

__all__ = ["Cache", "LanguageModel", "build_model"]


def build_model(model_args: Mapping[str, Any], file: Path | None = None) -> LanguageModel:
    """A new model.

    Args:
        model_args: the keys of `[train.model]` and `vocab_size`. They may come from a stranger's checkpoint, so the
            `file` that they may name is never run.
        file: the file with a model of its own that the user names, None for ours.

    Raises:
        CheckpointError: the arguments are not those of a known model, or need a file that is not named.
    """
    options = dict(model_args)
    needed = options.pop("file", None)
    try:
        vocab_size = int(options.pop("vocab_size"))
        config = ModelConfig.model_validate(options)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {error}") from error
    for _, why in model_mismatches(config):
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {why}")
    if needed is None:
        return Transformer(config, vocab_size)
    if file is None:
        raise CheckpointError(f"its model comes from {needed}. Name that file in [train.model] file.")
    build = getattr(import_file(file, f"{__name__}.{file.stem}"), "build", None)
    if build is None:
        raise CheckpointError(f"{file} has no function build(config, vocab_size).")
    model: LanguageModel = build(config, vocab_size)
    return model
