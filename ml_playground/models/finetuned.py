"""Trained models of Hugging Face's format, as our trainer and sampler know models: whole, or with LoRA adapters."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false
# The libraries used here leave some types out.

import difflib
import json
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import copy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, DynamicCache, PreTrainedModel
from transformers import logging as transformers_logging
from transformers.pytorch_utils import Conv1D

from ml_playground.config.sections import HfModelConfig, ModelSource, PeftConfig
from ml_playground.errors import CheckpointError, ConfigError, DamagedCheckpointError, DeviceError
from ml_playground.hub import WEIGHT_FILES, find_folder
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.models.linear import Linear

_LISTED = 12  # names of layers in a message


class FineTuned(LanguageModel):
    """A causal language model of Transformers. Frozen weights are no part of its state, which checkpoints keep.

    Attributes:
        network: the model, as PEFT wraps it if it has adapters.
    """

    def __init__(self, network: PreTrainedModel | PeftModel, *, block_size: int) -> None:
        super().__init__()
        self.network = network
        self.block_size = block_size
        self.vocab_size = int(network.config.get_text_config().vocab_size)
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # small steps would be lost in fewer bits
        for module in self.modules():
            if type(module) is nn.Linear:
                module.__class__ = Linear  # the same product, computed faster on some processors
        self.train()

    @property
    def has_adapters(self) -> bool:
        """Whether it is trained through adapters."""
        return isinstance(self.network, PeftModel)

    def forward(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        logits: Tensor = self.network(input_ids=ids, use_cache=False).logits
        return logits

    def new_cache(self, batch_size: int) -> Cache:
        """See `LanguageModel`."""
        plain = super().new_cache(batch_size)
        return _NetworkCache(plain, self.network.config)

    def extend(self, ids: Tensor, cache: Cache) -> Tensor:
        """See `LanguageModel`."""
        assert isinstance(cache, _NetworkCache)
        cache.append(ids)
        out = self.network(input_ids=ids, past_key_values=cache.past, use_cache=True, logits_to_keep=1)
        logits: Tensor = out.logits
        return logits[:, -1]

    def trained_state(self) -> dict[str, Tensor]:
        """See `LanguageModel`."""
        return {name: value.detach() for name, value in self.named_parameters() if value.requires_grad}

    @torch.no_grad()
    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """See `LanguageModel`."""
        own = self.trained_state()
        if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
            differing = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
            raise RuntimeError(f"{differing[0]} and {len(differing) - 1} more are not alike")
        for name, value in own.items():
            value.copy_(state[name])

    def flops_per_token(self, block_size: int) -> int:
        """See `LanguageModel`; of frozen weights no gradient is computed."""
        multiplied = [module.weight for module in self.modules() if isinstance(module, nn.Linear | Conv1D)]
        of_weights = sum((6 if weight.requires_grad else 4) * weight.numel() for weight in multiplied)
        config = self.network.config.get_text_config()
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return of_weights + 12 * int(config.num_hidden_layers * config.num_attention_heads * head_dim) * block_size

    def end_training(self) -> None:
        """See `LanguageModel`: adapters become a part of the weights."""
        if isinstance(self.network, PeftModel):
            self.network = cast("PreTrainedModel", self.network.merge_and_unload(safe_merge=True))

    def save_adapters(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write adapters with the weights of `state` as PEFT itself does, so that it can load them."""
        network = cast("PeftModel", self.network)
        plain = {name.removeprefix("network."): value for name, value in state.items()}
        adapters = get_peft_model_state_dict(network, state_dict=plain, save_embedding_layers=False)
        owned = {name: value.detach().cpu().clone() for name, value in adapters.items()}
        folder.mkdir(parents=True, exist_ok=True)
        save_file(owned, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = copy(network.peft_config["default"])
        config.inference_mode = True
        config.save_pretrained(str(folder))


class _NetworkCache(Cache):
    """Tokens given so far, and what the network itself remembers of them."""

    def __init__(self, plain: Cache, config: Any) -> None:
        super().__init__(plain.memory, layers=[])
        self._config = config
        self.past = DynamicCache(config=config)

    def clear(self) -> None:
        """See `Cache`."""
        super().clear()
        self.past = DynamicCache(config=self._config)


def build_finetuned(model_args: Mapping[str, Any], source: ModelSource) -> FineTuned:
    """A model to train or to restore.

    Args:
        model_args: `hf_model` and `peft`, the options of these sections; `block_size`; `vocab_size`, the ids that the
            data has; `new_tokens`, the ids that the model has never seen, each with those its name had before.
        source: where the model is.

    Raises:
        CheckpointError: it is not there, or not of a kind that Transformers knows, or too small.
        ConfigError: it has no layers of the names in `[train.peft] target_modules`.
        DeviceError: this machine cannot hold quantized weights.
    """
    hf_model = HfModelConfig.model_validate({**model_args["hf_model"]})
    peft = PeftConfig.model_validate(model_args["peft"])
    new_tokens: Mapping[int, list[int]] = model_args["new_tokens"]
    network = _load(source, hf_model, whole=not peft.enabled)
    _require_context(network, model_args["block_size"])
    _add_rows(network, int(model_args["vocab_size"]), new_tokens)
    if hf_model.gradient_checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not peft.enabled:
        return FineTuned(network, block_size=model_args["block_size"])
    lora = _lora_config(network, peft, find_targets(network, peft), sorted(new_tokens))
    with _without_notes():
        adapted = get_peft_model(network, lora)
    lora.base_model_name_or_path, lora.revision = source.model_name, source.revision
    return FineTuned(cast("PeftModel", adapted), block_size=model_args["block_size"])


def load_adapted(model_args: Mapping[str, Any], source: ModelSource, folder: Path) -> FineTuned:
    """A model with the adapters in `folder`, loaded by PEFT. The rest is as in `build_finetuned`.

    Raises:
        DamagedCheckpointError: PEFT cannot load them.
    """
    hf_model = HfModelConfig.model_validate({**model_args["hf_model"], "quantization": "none"})
    network = _load(source, hf_model, whole=False)
    _add_rows(network, int(model_args["vocab_size"]), model_args["new_tokens"])
    try:
        with _without_notes():
            adapted = PeftModel.from_pretrained(network, str(folder))
    except Exception as error:  # of many kinds, where files are not what they should be
        raise DamagedCheckpointError(f"{folder}: PEFT cannot load these adapters ({_first_line(error)}).") from error
    return FineTuned(adapted, block_size=model_args["block_size"])


def _load(source: ModelSource, hf_model: HfModelConfig, *, whole: bool) -> PreTrainedModel:
    """The model as it is, its weights in the format in which they will be needed."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    name = str(source.model_name)
    folder = find_folder(name, WEIGHT_FILES, source.revision)
    dtype = torch.float32 if whole else getattr(torch, hf_model.dtype)
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True, **_quantized(hf_model, dtype)
        )
    except (DeviceError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):
            raise
        raise CheckpointError(
            f"[train.hf_model] model_name: {name} is no language model that Transformers can load "
            f"({_first_line(error)}). It must be a causal one, with its weights in safetensors files."
        ) from error


def _quantized(hf_model: HfModelConfig, dtype: torch.dtype) -> dict[str, Any]:
    """The options to load a model with few bits."""
    if hf_model.quantization == "none":
        return {}
    if not torch.cuda.is_available():
        raise DeviceError(f'[train.hf_model] quantization = "{hf_model.quantization}" needs CUDA. Set "none".')
    try:
        version("bitsandbytes")
    except PackageNotFoundError:
        raise DeviceError(
            f'[train.hf_model] quantization = "{hf_model.quantization}" needs bitsandbytes: '
            'uv pip install bitsandbytes, or set it to "none".'
        ) from None
    if hf_model.quantization == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    return {"quantization_config": config, "device_map": {"": 0}}


def _require_context(network: PreTrainedModel, block_size: int) -> None:
    longest = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and block_size > longest:
        raise CheckpointError(f"[train.hf_model] block_size = {block_size} is beyond the model's context of {longest}.")


@torch.no_grad()
def _add_rows(network: PreTrainedModel, vocab_size: int, new_tokens: Mapping[int, list[int]]) -> None:
    """Give the model a row for each id. A new token begins as the mean of those that its name was written with."""
    embedding, _ = _tables(network)
    if vocab_size > cast("Tensor", embedding.weight).shape[0]:
        network.resize_token_embeddings(vocab_size, mean_resizing=False)
    weights = [cast("Tensor", table.weight) for table in _tables(network)]
    for weight in {id(weight): weight for weight in weights}.values():
        for token, before in new_tokens.items():
            weight[token] = weight[before].mean(dim=0)


def _tables(network: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    """What embeds tokens and what predicts them, with a row for each in their weights."""
    return network.get_input_embeddings(), cast("nn.Module", network.get_output_embeddings())


def _lora_config(
    network: PreTrainedModel, peft: PeftConfig, target_modules: list[str], new_tokens: list[int]
) -> LoraConfig:
    names = {module: name.rpartition(".")[2] for name, module in network.named_modules()}
    embedding, head = _tables(network)
    tied = embedding.weight is head.weight  # then the rows of the one are those of the other
    trained_rows = {names[table]: new_tokens for table in ([embedding] if tied else [embedding, head])}
    return LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=target_modules,
        trainable_token_indices=trained_rows if new_tokens else None,
        **peft.model_dump(exclude={"enabled", "target_modules", "extend_mlp_targets"}),
    )


def find_targets(network: PreTrainedModel, peft: PeftConfig) -> list[str]:
    """The ends of the names of the layers that get adapters, such as `self_attn.q_proj`.

    Raises:
        ConfigError: the model has no layer of a name that is asked for, or no attention that could be found.
    """
    _, head = _tables(network)
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    linear = [name for name, module in layers if module is not head]
    ends = dict.fromkeys(".".join(name.split(".")[-2:]) for name in linear)
    in_attention = [end for end in ends if "att" in end.rpartition(".")[0]]
    for wanted in peft.target_modules or ():
        if not any(name == wanted or name.endswith(f".{wanted}") for name in linear):
            leaves = list(dict.fromkeys(name.rpartition(".")[2] for name in linear))
            close = difflib.get_close_matches(wanted, leaves, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            there = ", ".join(leaves[:_LISTED])
            text = f"the model has no linear layer {json.dumps(wanted)}{hint}; it has {there}"
            raise ConfigError([f"[train.peft] target_modules: {text}"])
    targets = peft.target_modules or in_attention
    if not targets:
        there = ", ".join(list(ends)[:_LISTED])
        raise ConfigError([f"[train.peft] target_modules: must be stated for this model, which has {there}"])
    in_mlps = [end for end in ends if end not in in_attention] if peft.extend_mlp_targets else []
    return list(dict.fromkeys([*targets, *in_mlps]))


@contextmanager
def _without_notes() -> Generator[None]:
    """Keeps what the libraries say to each other from the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # which PEFT sets right by itself
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
