"""What the model classes of Transformers have in common, in terms of `[train.model]`."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from torch import Tensor

from ml_playground.config.parts import Part
from ml_playground.config.sections import ModelConfig
from ml_playground.utils.tables import Table

if TYPE_CHECKING:
    from gguf import GGUFWriter

WITHOUT_EFFECT = frozenset({"kind", "file", "options", "init_from", "dropout", "zero_init", "ngram_buckets"})
"""Options that do not change what trained weights compute, only how these were initialised or trained.

A model from a `file` is refused by its class; `ngram_buckets` has no effect without `ngram_embeddings`.
"""

PLAIN: dict[str, tuple[Any, ...]] = {
    "norm_placement": ("pre",),
    "value_norm": (False,),
    "embedding_norm": (False,),
    "value_embeddings": (False,),
    "ngram_embeddings": (0,),
    "logit_softcap": (0.0,),
}
"""What every supported class of Transformers requires."""

EMBEDDING, HEAD = "transformer.wte.weight", "lm_head.weight"


class Stated(BaseModel):
    """What a `config.json` must state; all other keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    quantization_config: None = None


class Family(ABC):
    """A class of models in Transformers: when a model is one, and its options and weights under both names.

    Which class a model is follows from its parts, whatever its `kind`. Parts of a part are options too, such as
    `position.theta`.

    Attributes:
        hf_class: the name of the class.
        gguf: what llama.cpp calls the architecture, None if it has none.
        exported: whether models can be written as one; all can be read.
        carries: options of `[train.model]` that may have any value, since `config.json` or the weights record it.
        requires: the values that each other option may have. Options that are in neither, nor in `WITHOUT_EFFECT`, must
            have their default.
    """

    hf_class: ClassVar[str]
    gguf: ClassVar[str | None] = None
    exported: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]]
    requires: ClassVar[Mapping[str, tuple[Any, ...]]]

    def blocking_options(self, config: ModelConfig) -> Iterator[str]:
        """The options that keep a model from being of this class, each with the values that it may have."""
        blocking: set[str] = set()
        for option, (value, field) in options_of(config).items():
            whole = option.partition(".")[0]  # of a part that the class does not have, its options do not matter
            if option in WITHOUT_EFFECT or option in self.carries or whole in blocking:
                continue
            allowed = self.requires.get(option, () if field.is_required() else (field.get_default(),))
            if value not in allowed:
                blocking.add(option)
                wanted = " or ".join(map(_shown, allowed)) or "which the class does not have"
                yield f"{option} = {_shown(value)} ({'not ' if allowed else ''}{wanted})"
        yield from self.blocking_sizes(config)

    @abstractmethod
    def blocking_sizes(self, config: ModelConfig) -> Iterator[str]:
        """The same of sizes that do not fit each other in this class."""

    def to_theirs(
        self, config: ModelConfig, weights: Mapping[str, Tensor], vocab_size: int
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What `config.json` says of a model of this class, without token ids, and its tensors under their names there.

        Args:
            config: the model's options.
            weights: its state; rows for ids beyond the vocabulary are left out.
            vocab_size: number of ids in the vocabulary.
        """
        weights = {**weights, **{key: weights[key][:vocab_size] for key in (EMBEDDING, HEAD)}}
        if config.tied_embeddings:
            del weights[HEAD]
        return self.config_json(config, vocab_size), dict(self.tensors(config, weights))

    @abstractmethod
    def config_json(self, config: ModelConfig, vocab_size: int) -> dict[str, Any]:
        """What `config.json` says of a model, without token ids."""

    @abstractmethod
    def tensors(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Weights under the names of Transformers, laid out as there."""

    @abstractmethod
    def from_theirs(self, values: Table, unused: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Model options (without the vocabulary's size) and weights: the way back of `to_theirs`.

        Args:
            values: what `config.json` says.
            unused: its tensors by name, of which those are taken out that are used.

        Raises:
            CheckpointError: layers differ from each other in a way that is unknown here.
            ValidationError: `config.json` asks for something that is unknown here.
            KeyError: a tensor is missing.
            RuntimeError: tensors do not fit each other.
        """

    @abstractmethod
    def write_gguf_shape(self, writer: "GGUFWriter", config: ModelConfig) -> None:
        """Record in a GGUF file what only models of this class have."""

    def gguf_tensor(self, name: str, tensor: Tensor, config: ModelConfig) -> Tensor:  # noqa: ARG002 -- of some classes
        """A tensor as llama.cpp wants it laid out; `name` is the one in Transformers."""
        return tensor


def head(args: dict[str, Any], weights: Mapping[str, Tensor], unused: dict[str, Tensor]) -> Tensor:
    """The matrix of the head; where one that should be tied is there and differs, it is not tied after all."""
    embedding = weights[EMBEDDING]
    if not args["tied_embeddings"]:
        return unused.pop(HEAD)
    found = unused.pop(HEAD, embedding)
    args["tied_embeddings"] = torch.equal(found, embedding)
    return found


def options_of(config: ModelConfig) -> dict[str, tuple[Any, FieldInfo]]:
    """Every option with its value and its field; of a part its kind, then the part's own options."""
    options: dict[str, tuple[Any, FieldInfo]] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if not isinstance(value, Part):
            options[name] = value, field
            continue
        options[name] = value.kind, field
        own = ((inner, inner_field) for inner, inner_field in type(value).model_fields.items() if inner != "kind")
        options |= {f"{name}.{inner}": (getattr(value, inner), inner_field) for inner, inner_field in own}
    return options


def _shown(value: object) -> str:
    return json.dumps(value, default=str)
