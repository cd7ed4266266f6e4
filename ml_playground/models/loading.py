"""The only calls of Transformers' loaders. Code in a model's folder is never run, and nobody is asked to allow it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Transformers leaves some types out.

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers import logging as transformers_logging
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from ml_playground.errors import CheckpointError
from ml_playground.utils.model_folder import named_code, named_kernels, read_errors, read_table, require_readable
from ml_playground.utils.tables import Table

_OURS = __name__.partition(".")[0]
_LIBRARIES = ("transformers", "peft", "huggingface_hub", "safetensors", "tokenizers")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def load_network(folder: Path, *, dtype: torch.dtype, **options: Any) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """A causal language model, and what Transformers reports of its weights.

    Args:
        folder: the model, with its weights in safetensors files.
        dtype: number format of the weights.
        options: further arguments of `from_pretrained`.

    Raises:
        CheckpointError: it needs custom code, or Transformers does not know its kind. Exceptions of Transformers
            itself are passed on: see `is_the_libraries`.
    """
    _quiet()
    with read_errors(folder):
        _check(folder)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    network, report = loaded
    vars(network.config).pop("auto_map", None)  # so that folders written from it later name no code
    return network, report


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder. Exceptions of Transformers are passed on, as in `load_network`."""
    require_readable(folder)
    _quiet()
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def is_known(model_type: object) -> bool:
    """Whether Transformers has models of this `model_type` in a `config.json`."""
    return isinstance(model_type, str) and model_type in CONFIG_MAPPING


def is_the_libraries(error: BaseException) -> bool:
    """Whether an exception was raised inside Hugging Face's libraries; a bug of this project keeps its traceback.

    For malformed files they can raise anything, even a TypeError.
    """
    modules = [
        str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    after_ours = modules[len(modules) - modules[::-1].index(_OURS) :] if _OURS in modules else modules
    return bool(after_ours) and after_ours[0] in _LIBRARIES


def first_line(error: Exception) -> str:
    """The first line of an error's message, and the second if the first ends with a colon."""
    first, *rest = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first


def _quiet() -> None:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _check(folder: Path) -> None:
    """Refuse what Transformers would ask about, download or build for hours."""
    require_readable(folder)
    config = read_table(folder / "config.json")
    kind = config.get("model_type")
    if not is_known(kind) or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if (code := named_code(folder)) is not None:
            raise CheckpointError(
                f"the folder brings Python code of its own ({code}), which is never run here, and Transformers itself "
                f"has no causal language model of the model_type {kind!r}."
            )
        raise CheckpointError(
            f"config.json names the model_type {kind!r}, of which Transformers has no causal language model."
        )
    for kernel in named_kernels(config):
        raise CheckpointError(f"config.json names compiled code on the Hub ({kernel}), which is never run here.")
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            "adapter_config.json in the folder would put adapters on top of its weights. Merge them first."
        )
    _check_layers(config, folder)


def _check_layers(config: Table, folder: Path) -> None:
    """Refuse more layers than there are tensors: building them takes hours before anything is compared."""
    tensors = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                tensors += len(list(file.keys()))  # pyright: ignore[reportUnknownArgumentType] -- it is not typed
        except SafetensorError as error:
            raise CheckpointError(f"{path.name} is damaged ({error}).") from error
    for name in _LAYERS:
        count = config.get(name)
        if isinstance(count, int) and count > tensors:
            raise CheckpointError(f"config.json says {name} = {count}, but the weights have {tensors:,} tensors.")
