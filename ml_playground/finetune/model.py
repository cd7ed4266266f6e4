"""Pretrained Hugging Face models as `LanguageModel`s to fine-tune, whole or with LoRA adapters."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false
# The libraries used here leave some types out.

import inspect
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ml_playground.config.sections import HfModelConfig, PeftConfig
from ml_playground.errors import CheckpointError, ConfigError, DamagedCheckpointError
from ml_playground.finetune.network import check_context_length, load_network, lora_config, resize_embeddings
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.models.linear import Linear
from ml_playground.models.loading import first_line, is_the_libraries
from ml_playground.utils.files import share_like


class FineTuned(LanguageModel):
    """A causal language model of Transformers. Frozen weights are not part of the state that checkpoints keep.

    Attributes:
        network: the model, wrapped by PEFT if it has adapters.
    """

    def __init__(self, network: PreTrainedModel | PeftModel, *, block_size: int) -> None:
        super().__init__()
        self.network = network
        self.block_size = block_size
        self.vocab_size = int(network.config.vocab_size)
        self._splits: bool | None = None  # not known yet
        for module in self.modules():
            own = list(module.parameters(recurse=False))
            if any(parameter.requires_grad for parameter in own):  # small updates would be lost in lower precision
                for parameter in own:
                    parameter.data = parameter.data.float() if parameter.is_floating_point() else parameter.data
            if type(module) is nn.Linear:
                module.__class__ = Linear  # the same product, computed faster on some processors
        self.train()

    def forward(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        logits: Tensor = self.network(input_ids=ids, use_cache=False).logits
        return logits

    def split(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """See `LanguageModel`. Networks that scale or cap the output of their head cannot be split."""
        network: Any = self._base()
        head: nn.Module = network.get_output_embeddings()

        def body(ids: Tensor) -> Tensor:
            hidden: Tensor = network.base_model(input_ids=ids, use_cache=False)[0]
            return hidden

        if self._splits is None:
            self._splits = network.base_model is not network and self._can_be_split(body, head)
        return (body, head) if self._splits else None

    @torch.no_grad()
    def _can_be_split(self, body: Callable[[Tensor], Tensor], head: nn.Module) -> bool:
        """Whether a few logits are the same when the model is split in two."""
        ids = torch.arange(min(4, self.block_size, self.vocab_size), device=next(self.parameters()).device)[None]
        training = self.training
        self.eval()  # without dropout, so that the random numbers of training stay the same
        try:
            whole, hidden = self(ids), body(ids)
            fits = hidden.dim() == 3 and hidden.shape[-1] == getattr(head, "in_features", None)
            return fits and bool(torch.equal(whole, head(hidden)))
        finally:
            self.train(training)

    def new_cache(self, batch_size: int) -> Cache:
        """See `LanguageModel`."""
        plain = super().new_cache(batch_size)
        return _NetworkCache(plain, self.network.config) if self._takes_a_cache() else plain

    def extend(self, ids: Tensor, cache: Cache) -> Tensor:
        """See `LanguageModel`."""
        return self._extend(ids, cache, logits_to_keep=1)[:, -1]

    def extend_all(self, ids: Tensor, cache: Cache) -> Tensor:
        """See `LanguageModel`."""
        return self._extend(ids, cache)

    def _extend(self, ids: Tensor, cache: Cache, **options: int) -> Tensor:
        if not isinstance(cache, _NetworkCache):
            return super().extend_all(ids, cache)
        cache.append(ids)
        logits: Tensor = self.network(input_ids=ids, past_key_values=cache.past, use_cache=True, **options).logits
        return logits

    def _takes_a_cache(self) -> bool:
        """Whether the network remembers keys and values; others, such as Mamba, keep another kind of state."""
        return "past_key_values" in inspect.signature(self._base().forward).parameters

    def token_embedding(self) -> nn.Module:
        """See `LanguageModel`; it includes what was trained of single rows."""
        return self._base().get_input_embeddings()

    def _base(self) -> PreTrainedModel:
        """The network as Transformers knows it, without PEFT's wrapper around it."""
        network = self.network.get_base_model() if isinstance(self.network, PeftModel) else self.network
        return cast("PreTrainedModel", network)

    def cast(self, dtype: torch.dtype) -> None:
        """See `LanguageModel`; buffers, from which positions are computed, stay as they are, as in Transformers."""
        for parameter in self.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """See `LanguageModel`."""
        return {name: value.detach() for name, value in self.named_parameters() if value.requires_grad}

    @torch.no_grad()
    def load_trainable_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See `LanguageModel`."""
        own = self.trainable_state_dict()
        if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
            differing = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
            raise RuntimeError(f"{differing[0]} and {len(differing) - 1} more do not match")
        for name, value in own.items():
            value.copy_(state[name])

    def flops_per_token(self, block_size: int) -> int:
        """See `LanguageModel`; frozen weights get no gradient."""
        multiplied = [module.weight for module in self.modules() if isinstance(module, nn.Linear | Conv1D)]
        of_weights = sum((6 if weight.requires_grad else 4) * weight.numel() for weight in multiplied)
        config = self.network.config
        heads = getattr(config, "num_attention_heads", 0)
        width = heads * (getattr(config, "head_dim", None) or config.hidden_size // max(1, heads))
        return of_weights + 12 * int(config.num_hidden_layers * width) * block_size

    def finalize(self) -> None:
        """See `LanguageModel`: adapters are merged into the weights."""
        if isinstance(self.network, PeftModel):
            self.network = cast("PreTrainedModel", self.network.merge_and_unload(safe_merge=True))

    def save_adapters(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write adapters with the weights of `state` as PEFT itself does, so that it can load them."""
        network = cast("PeftModel", self.network)
        plain = {name.removeprefix("network."): value for name, value in state.items()}
        adapters = get_peft_model_state_dict(network, state_dict=plain, save_embedding_layers=False)
        owned = {name: value.detach().cpu().clone() for name, value in adapters.items()}
        folder.mkdir(parents=True, exist_ok=True)
        weights = folder / SAFETENSORS_WEIGHTS_NAME
        save_file(owned, weights, metadata={"format": "pt"})
        config = copy(network.peft_config["default"])
        config.inference_mode = True
        config.save_pretrained(str(folder))
        share_like(weights, folder / "adapter_config.json")


class _NetworkCache(Cache):
    """The tokens so far, and the network's own cache."""

    def __init__(self, plain: Cache, config: Any) -> None:
        super().__init__(plain.memory, layers=[])
        self._config = config
        self.past = DynamicCache(config=config)

    def repeated(self, rows: int) -> "Cache | None":
        """See `Cache`."""
        if not all(hasattr(layer, "batch_repeat_interleave") for layer in self.past.layers):
            return None
        copy = _NetworkCache(Cache(self.memory.repeat(rows, 1), layers=[]), self._config)
        copy.length = self.length
        copy.past = deepcopy(self.past)
        copy.past.batch_repeat_interleave(rows)
        return copy

    def clear(self) -> None:
        """See `Cache`."""
        super().clear()
        self.past = DynamicCache(config=self._config)


class _Arguments(BaseModel):
    """The arguments of a fine-tuned model, as in a checkpoint."""

    hf_model: HfModelConfig
    peft: PeftConfig
    block_size: PositiveInt
    vocab_size: PositiveInt
    new_tokens: dict[NonNegativeInt, Annotated[list[NonNegativeInt], Field(min_length=1)]]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "_Arguments":
        """Raises CheckpointError if they are invalid."""
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise CheckpointError(f"no fine-tuned model can be built from these arguments: {error}") from error


def build_finetuned(options: Mapping[str, Any], name: str, revision: str | None) -> FineTuned:
    """A model to train or to restore.

    Args:
        options: `hf_model` and `peft`, the options of these sections; `block_size`; `vocab_size`, the number of ids
            of the data; `new_tokens`, ids new to the model, each with those that its name was encoded to before.
        name: the model: a folder, or a name on the Hub.
        revision: the version there.

    Raises:
        CheckpointError: it is missing, or Transformers does not know its kind, or its context is too short.
        ConfigError: it has no layers of the names in `[train.peft] target_modules`.
        DeviceError: this machine cannot hold quantized weights.
    """
    args = _Arguments.of(options)
    hf_model, peft, new_tokens = args.hf_model, args.peft, args.new_tokens
    network = load_network(name, revision, hf_model, whole=not peft.enabled)
    check_context_length(network, args.block_size)
    resize_embeddings(network, args.vocab_size, new_tokens)
    if hf_model.gradient_checkpointing:
        if not network.supports_gradient_checkpointing:
            raise ConfigError(["[train.hf_model] gradient_checkpointing: this model does not support it; set false"])
        with _silence_library_warnings():
            network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not peft.enabled:
        return FineTuned(network, block_size=args.block_size)
    lora = lora_config(network, peft, sorted(new_tokens))
    try:
        with _silence_library_warnings():
            adapted = get_peft_model(network, lora)
    except ValueError as error:  # such as a layer that PEFT has no adapters for
        raise ConfigError([f"[train.peft] target_modules: PEFT refuses them ({first_line(error)})"]) from error
    lora.base_model_name_or_path, lora.revision = name, revision
    return FineTuned(cast("PeftModel", adapted), block_size=args.block_size)


def load_adapted(options: Mapping[str, Any], name: str, revision: str | None, folder: Path) -> FineTuned:
    """A model with the adapters in `folder`, loaded by PEFT. The rest is as in `build_finetuned`.

    Raises:
        DamagedCheckpointError: PEFT cannot load them.
    """
    args = _Arguments.of(options)
    network = load_network(name, revision, args.hf_model.model_copy(update={"quantization": "none"}), whole=False)
    resize_embeddings(network, args.vocab_size, args.new_tokens)
    try:
        with _silence_library_warnings():
            adapted = PeftModel.from_pretrained(network, str(folder))
    except Exception as error:  # of any type, but raised within the libraries: see `is_the_libraries`
        if not is_the_libraries(error):
            raise
        raise DamagedCheckpointError(f"{folder}: PEFT cannot load these adapters ({first_line(error)}).") from error
    return FineTuned(adapted, block_size=args.block_size)


@contextmanager
def _silence_library_warnings() -> Generator[None]:
    """Hide warnings that the user can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # which PEFT corrects by itself
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
        yield
