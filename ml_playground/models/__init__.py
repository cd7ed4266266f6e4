"""Networks that predict the next token, and the functions that build them."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from ml_playground.config.checks import model_mismatches
from ml_playground.config.fields import ModelSource
from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError
from ml_playground.imports import import_file
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.models.quantized import quantize
from ml_playground.models.transformer import Transformer

__all__ = [
    "OURS",
    "Cache",
    "LanguageModel",
    "build_model",
    "count_parameters",
    "load_weights",
    "quantize",
    "restore_model",
]


OURS = ModelSource()


def build_model(model_args: Mapping[str, Any], source: ModelSource = OURS) -> LanguageModel:
    """A new model.

    Args:
        model_args: the keys of `[train.model]` and `vocab_size`, or what `build_finetuned` takes. They may come from a
            stranger's checkpoint, so the `file` that they may name is never run, nor what `model_name` says loaded.
        source: what the user names for it.

    Raises:
        CheckpointError: the arguments are not those of a known model, or need a file that is not named.
    """
    if "hf_model" in model_args:
        if source.model_name is None:
            name = model_args["hf_model"]["model_name"]
            raise CheckpointError(f"its model is {name}, fine-tuned. Name that in [train.hf_model] model_name.")
        from ml_playground.models.finetuned import build_finetuned  # which takes seconds to import

        return build_finetuned(model_args, source)
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
    file = source.file
    if file is None:
        raise CheckpointError(f"its model comes from {needed}. Name that file in [train.model] file.")
    name = f"own_model_{file.stem}"  # apart from our modules, some of which may be called the same
    build = getattr(import_file(file, name), "build", None)
    if build is None:
        raise CheckpointError(f"{file} has no function build(config, vocab_size).")
    model = build(config, vocab_size)
    if not isinstance(model, LanguageModel):
        raise CheckpointError(f"{file}: build(config, vocab_size) made a {type(model).__name__}, no LanguageModel.")
    for name in ("block_size", "vocab_size"):
        if not hasattr(model, name):
            raise CheckpointError(f"{file}: its model lacks the attribute {name}, which every LanguageModel has.")
    return model


def restore_model(
    model_args: Mapping[str, Any], weights: Mapping[str, Tensor], source: ModelSource = OURS
) -> LanguageModel:
    """The model with the arguments and the state of a checkpoint; the rest is as in `build_model`.

    Raises:
        CheckpointError: they do not fit each other.
    """
    with nullcontext() if source.model_name else _Uninitialised():
        model = build_model(model_args, source)
    load_weights(model, weights)
    return model


def load_weights(model: LanguageModel, weights: Mapping[str, Tensor]) -> None:
    """Give `model` the state of a checkpoint.

    Raises:
        CheckpointError: it does not fit.
    """
    try:
        model.load_trained_state(weights)
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its model arguments ({error})") from error


def count_parameters(model_args: Mapping[str, Any], source: ModelSource = OURS) -> int:
    """Trainable values of the model that `build_model` would build; hardly any of its memory is written to."""
    with _Uninitialised():
        return build_model(model_args, source).num_parameters()


class _Uninitialised(TorchFunctionMode):
    """Within it `torch.nn.init` leaves weights as they are, for those that are about to get their values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
