"""Networks that predict the next token, and the functions that build them."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt, TypeAdapter, ValidationError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ml_playground.config.checks import model_mismatches
from ml_playground.config.fields import ModelSource
from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError, ConfigError, DamagedCheckpointError, OutOfMemoryError
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.models.quantized import quantize
from ml_playground.models.transformer import Transformer
from ml_playground.utils.modules import import_file
from ml_playground.utils.tables import is_table

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
_POSITIVE: TypeAdapter[int] = TypeAdapter(PositiveInt)


def build_model(model_args: Mapping[str, Any], source: ModelSource = OURS) -> LanguageModel:
    """A new model.

    Args:
        model_args: the keys of `[train.model]` and `vocab_size`, or what `build_finetuned` takes. They may come from a
            stranger's checkpoint, so the `file` that they may name is never run, nor what `model_name` says loaded.
        source: what the user names for it.

    Raises:
        CheckpointError: the arguments are not those of a known model, or need a file that is not named.
        ConfigError: a model of the user's own refuses its options.
    """
    if not is_table(model_args):
        raise CheckpointError(f"no model can be built from a {type(model_args).__name__}")
    if "hf_model" in model_args:
        if source.model_name is None:
            table = model_args["hf_model"]
            name = table.get("model_name") if is_table(table) else table
            raise CheckpointError(f"its model is {name}, fine-tuned. Name that in [train.hf_model] model_name.")
        from ml_playground.models.finetuned import build_finetuned  # which takes seconds to import

        return build_finetuned(model_args, source)
    options = dict(model_args)
    needed = options.pop("file", None)
    try:
        vocab_size = _POSITIVE.validate_python(options.pop("vocab_size", None))
        config = ModelConfig.model_validate(options)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {error}") from error
    for _, why in model_mismatches(config.model_copy(update={"options": {}})):  # they may be there without the file
        raise CheckpointError(f"no model can be built from the arguments {dict(model_args)}: {why}")
    if needed is None:
        return _built_in(config, vocab_size)
    if source.file is None:
        raise CheckpointError(f"its model comes from {needed}. Name that file in [train.model] file.")
    return _users(source.file, config, vocab_size)


def _built_in(config: ModelConfig, vocab_size: int) -> LanguageModel:
    try:
        return Transformer(config, vocab_size)
    except (RuntimeError, TypeError) as error:
        what = str(error).partition("\n")[0]
        if "overflow" not in what.lower() and "int64" not in what:
            raise
        raise OutOfMemoryError(f"no memory can hold this model, whose sizes are beyond counting ({what}).") from error


def _users(file: Path, config: ModelConfig, vocab_size: int) -> LanguageModel:
    """A model of the user's own. All its buffers are made a part of its state: what its code leaves out may be random.

    Raises:
        CheckpointError: the file makes no language model.
        ConfigError: it refuses `[train.model.options]`.
    """
    build = getattr(import_file(file), "build", None)
    if build is None:
        raise CheckpointError(f"{file} has no function build(config, vocab_size).")
    try:
        model = build(config, vocab_size)
    except ValidationError as error:  # of a Section that the options were given to
        findings = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise ConfigError([f"[train.model.options] {key}: {message}" for key, message in findings]) from error
    if not isinstance(model, LanguageModel):
        raise CheckpointError(f"{file}: build(config, vocab_size) made a {type(model).__name__}, no LanguageModel.")
    for name in ("block_size", "vocab_size"):
        if not hasattr(model, name):
            raise CheckpointError(f"{file}: its model lacks the attribute {name}, which every LanguageModel has.")
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer)  # pyright: ignore[reportUnknownMemberType] -- torch does not type it
    return model


def restore_model(
    model_args: Mapping[str, Any], weights: Mapping[str, Tensor], source: ModelSource = OURS
) -> LanguageModel:
    """The model with the arguments and the state of a checkpoint; the rest is as in `build_model`.

    Raises:
        CheckpointError: they do not fit each other.
    """
    with nullcontext() if source.model_name or source.file else _Uninitialised():
        model = build_model(model_args, source)
    load_weights(model, weights)
    return model


def load_weights(model: LanguageModel, weights: Mapping[str, Tensor]) -> None:
    """Give `model` the state of a checkpoint.

    Raises:
        CheckpointError: it does not fit.
        DamagedCheckpointError: it holds what no training leaves there.
    """
    if (problem := _problem_of(model, weights)) is not None:
        raise DamagedCheckpointError(f"the checkpoint's weights are of no use: {problem}.")
    try:
        model.load_trained_state(weights)
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its model arguments ({error})") from error


def _problem_of(model: LanguageModel, weights: Any) -> str | None:
    """What is wrong with a checkpoint's weights whatever the model's shape, None if nothing is."""
    if not is_table(weights):
        return f"they are a {type(weights).__name__}"
    own: dict[str, Tensor] = {**dict(model.named_buffers()), **dict(model.named_parameters())}
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] -- a file said so
            return f"{name!r} is a {type(value).__name__}, not a tensor"
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_nested:
            return f"{name} is not an ordinary tensor ({value.layout}, on {value.device})"
        like = own.get(name)
        if like is not None and (value.is_floating_point(), value.is_complex()) != (like.is_floating_point(), False):
            return f"{name} holds numbers of the type {value.dtype} instead of {like.dtype}"
    return None


def count_parameters(model_args: Mapping[str, Any], source: ModelSource = OURS) -> int:
    """Trainable values of the model that `build_model` would build; one of [train.model] takes no memory for it.

    A model of the user's own is really built: what it computes from its weights on the way must be able to.
    """
    if source.file is not None:
        return build_model(model_args, source).num_parameters()
    with nullcontext() if source.model_name else torch.device("meta"), _Uninitialised():
        return build_model(model_args, source).num_parameters()


class _Uninitialised(TorchFunctionMode):
    """Within it `torch.nn.init` leaves weights as they are, for those that are about to get their values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
