"""Networks of Transformers, loaded from Hugging Face's format and prepared for adapters."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false
# The libraries used here leave some types out.

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import torch
from peft import LoraConfig
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from ml_playground.config.sections import HfModelConfig, PeftConfig
from ml_playground.errors import CheckpointError, ConfigError, DeviceError
from ml_playground.finetune.targets import targets_of
from ml_playground.models import loading
from ml_playground.models.loading import first_line
from ml_playground.utils.hub import WEIGHT_FILES, find_folder


def load_network(name: str, revision: str | None, hf_model: HfModelConfig, *, whole: bool) -> PreTrainedModel:
    """The pretrained model, its weights in the number format that is needed: float32 if they are all trained.

    Args:
        name: a folder, or a name on the Hub.
        revision: the version there.
        hf_model: its section of the configuration.
        whole: whether all its weights are trained.

    Raises:
        CheckpointError: it is not there, or not a language model for text alone that Transformers can load whole.
        DeviceError: this machine cannot hold quantized weights.
    """
    folder = find_folder(name, WEIGHT_FILES, revision)
    dtype = torch.float32 if whole else getattr(torch, hf_model.dtype)
    quantized = _quantized(hf_model, dtype)
    try:
        loaded = loading.load_network(folder, dtype=dtype, **quantized)
    except CheckpointError as error:
        raise CheckpointError(f"[train.hf_model] model_name: {name} cannot be loaded: {error}") from error
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # of any type, but raised within the libraries: see `is_the_libraries`
        if "allocate memory" in str(error) or not loading.is_the_libraries(error):
            raise
        raise CheckpointError(
            f"[train.hf_model] model_name: Transformers cannot load {name} ({first_line(error).rstrip('.')}). It must "
            "be a causal language model, with its weights whole and in safetensors files."
        ) from error
    network = require_all_weights(loaded, name)
    if network.config.get_text_config() is not network.config:
        raise CheckpointError(
            f"[train.hf_model] model_name: {name} is a multimodal model, of which only one part "
            "could be trained here. Name a text-only model."
        )
    return network


def require_all_weights(loaded: tuple[PreTrainedModel, Mapping[str, Any]], name: str) -> PreTrainedModel:
    """The network that was loaded, if its files had all its weights; Transformers initialises missing ones at random.

    Raises:
        CheckpointError: some are missing.
    """
    network, info = loaded
    missing = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{name} lacks weights that a model of its kind has: {missing[0]}{others}.")
    return network


def _quantized(hf_model: HfModelConfig, dtype: torch.dtype) -> dict[str, Any]:
    """The options for loading a quantized model."""
    if hf_model.quantization == "none":
        return {}
    if not torch.cuda.is_available():
        raise DeviceError(f'[train.hf_model] quantization = "{hf_model.quantization}" needs CUDA. Set "none".')
    try:
        version("bitsandbytes")
    except PackageNotFoundError:
        raise DeviceError(
            f'[train.hf_model] quantization = "{hf_model.quantization}" needs bitsandbytes: '
            'install it (make bitsandbytes), or set "none".'
        ) from None
    if hf_model.quantization == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    return {"quantization_config": config, "device_map": {"": 0}}


def check_context_length(network: PreTrainedModel, block_size: int) -> None:
    """Raises CheckpointError if the model was not made for that many tokens."""
    longest = getattr(network.config, "max_position_embeddings", None)
    if longest is not None and block_size > longest:
        raise CheckpointError(f"[train.hf_model] block_size = {block_size} is beyond the model's context of {longest}.")


@torch.no_grad()
def resize_embeddings(network: PreTrainedModel, vocab_size: int, new_tokens: Mapping[int, list[int]]) -> None:
    """Give the model an embedding row for each id.

    A new token starts as the mean of the tokens that its name was encoded to, other missing rows as the mean of all.
    """
    rows = _weights(network)[0].shape[0]
    if vocab_size > rows:
        network.resize_token_embeddings(vocab_size, mean_resizing=False)
    for weight in _weights(network):
        weight[rows:] = weight[:rows].float().mean(dim=0)
        for token, before in new_tokens.items():
            weight[token] = weight[before].float().mean(dim=0)


def _weights(network: PreTrainedModel) -> list[Tensor]:
    """The weights of both tables, once if they are tied."""
    embedding, head = (cast("Tensor", table.weight) for table in _tables(network))
    return [embedding] if embedding is head else [embedding, head]


def _tables(network: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    """The modules that embed and predict tokens, whose weights have a row for each."""
    return network.get_input_embeddings(), cast("nn.Module", network.get_output_embeddings())


def lora_config(network: PreTrainedModel, peft: PeftConfig, new_tokens: list[int]) -> LoraConfig:
    """PEFT's configuration: adapters, and the rows of new tokens.

    Raises:
        ConfigError: an option would have no effect on this model: it lacks layers of the given names, or no
            attention, MLPs or biases were found.
    """
    names = {module: name.rpartition(".")[2] for name, module in network.named_modules()}
    embedding, head = _tables(network)
    tied = embedding.weight is head.weight  # then they share their rows
    trained_rows = {names[table]: new_tokens for table in ([embedding] if tied else [embedding, head])}
    targets = targets_of(network, peft)
    if head in [network.get_submodule(name) for name in targets.layers] and (tied or new_tokens):
        why = "shares its matrix with the embeddings" if tied else "has rows of new tokens, which are trained as such"
        raise ConfigError(
            [f"[train.peft] target_modules: {names[head]} {why} in this model: it cannot have an adapter"]
        )
    return LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=targets.modules,
        target_parameters=targets.parameters or None,
        trainable_token_indices=trained_rows if new_tokens else None,
        **peft.model_dump(exclude={"enabled", "target_modules", "extend_mlp_targets"}),
    )
