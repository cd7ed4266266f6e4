"""Builds models, built-in or from a user's file, from plain values, and loads a checkpoint's weights into them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt, TypeAdapter, ValidationError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ml_playground.config.sections import ModelOptions
from ml_playground.errors import CheckpointError, ConfigError, DamagedCheckpointError, OutOfMemoryError
from ml_playground.models.base import LanguageModel
from ml_playground.models.kinds import model_options, require_kind
from ml_playground.utils.modules import import_file
from ml_playground.utils.tables import is_table

_POSITIVE: TypeAdapter[int] = TypeAdapter(PositiveInt)


def build_model(options: Mapping[str, Any]) -> LanguageModel:
    """A new built-in model.

    Args:
        options: the keys of `[train.model]` and `vocab_size`. They may come from an untrusted checkpoint.

    Raises:
        CheckpointError: they are not options of a built-in model.
        OutOfMemoryError: no memory could hold it.
    """
    config, vocab_size = _shape(options)
    try:
        return config.build(vocab_size)
    except (RuntimeError, TypeError) as error:
        what = str(error).partition("\n")[0]
        if "overflow" not in what.lower() and "int64" not in what:
            raise
        raise OutOfMemoryError(f"no memory can hold this model: its sizes overflow ({what}).") from error


def restore_model(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> LanguageModel:
    """The built-in model with the options and weights of a checkpoint; the rest is as in `build_model`.

    Raises:
        CheckpointError: they do not fit each other.
    """
    with _Uninitialised():
        model = build_model(options)
    load_weights(model, weights)
    return model


def count_parameters(options: Mapping[str, Any]) -> int:
    """Trainable values of the model that `build_model` would build; allocates no memory for them."""
    with torch.device("meta"), _Uninitialised():
        return build_model(options).num_parameters()


def build_from_file(file: Path, options: Mapping[str, Any]) -> LanguageModel:
    """A new model from a user's file. All its buffers become part of its state: those that it leaves out may be random.

    Args:
        file: a Python file with a function `build(config, vocab_size)`, which is run.
        options: as in `build_model`, and under `options` those for the file's own use.

    Raises:
        CheckpointError: the file does not build a language model.
        ConfigError: it rejects `[train.model.options]`.
    """
    config, vocab_size = _shape(options)
    build = getattr(import_file(file), "build", None)
    if build is None:
        raise CheckpointError(f"{file} has no function build(config, vocab_size).")
    try:
        model = build(config, vocab_size)
    except ValidationError as error:  # of a Section that the options were passed to
        findings = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise ConfigError([f"[train.model.options] {key}: {message}" for key, message in findings]) from error
    if not isinstance(model, LanguageModel):
        raise CheckpointError(
            f"{file}: build(config, vocab_size) returned a {type(model).__name__}, not a LanguageModel."
        )
    for name in ("block_size", "vocab_size"):
        if not hasattr(model, name):
            raise CheckpointError(f"{file}: its model lacks the attribute {name}, which every LanguageModel has.")
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer)  # pyright: ignore[reportUnknownMemberType] -- torch does not type it
    return model


def _shape(options: Mapping[str, Any]) -> tuple[ModelOptions, int]:
    """The options as a section, and the vocabulary's size."""
    if not is_table(options):
        raise CheckpointError(f"no model can be built from a {type(options).__name__}")
    values = {key: value for key, value in options.items() if key != "file"}
    require_kind(values)
    try:
        vocab_size = _POSITIVE.validate_python(values.pop("vocab_size", None))
        config = model_options(values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"no model can be built from the arguments {dict(options)}: {error}") from error
    for _, why in config.model_copy(update={"options": {}}).conflicts():  # the file has been left out of the values
        raise CheckpointError(f"no model can be built from the arguments {dict(options)}: {why}")
    return config, vocab_size


def load_weights(model: LanguageModel, weights: Mapping[str, Tensor]) -> None:
    """Load a checkpoint's weights into `model`.

    Raises:
        CheckpointError: it does not fit.
        DamagedCheckpointError: it contains what training never saves.
    """
    if (problem := _problem_of(model, weights)) is not None:
        raise DamagedCheckpointError(f"the checkpoint's weights are unusable: {problem}.")
    try:
        model.load_trainable_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its model arguments ({error})") from error


def _problem_of(model: LanguageModel, weights: Any) -> str | None:
    """What is wrong with a checkpoint's weights, regardless of the model's shape; None if nothing is."""
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


class _Uninitialised(TorchFunctionMode):
    """A block in which `torch.nn.init` does nothing, for weights that are about to be loaded."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
