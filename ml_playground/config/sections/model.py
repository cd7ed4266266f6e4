"""`[train.model]`: the model and its parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from ml_playground.config.fields import (
    default_from,
    derived,
    family_default,
    plain_values,
    zero_or_from,
)
from ml_playground.config.kinds import apply_defaults
from ml_playground.config.parts import Part, PartOf
from ml_playground.config.registries import MLPS, NORMS, POSITIONS
from ml_playground.config.sections.types import ModelName
from ml_playground.utils.tables import Table, is_table

if TYPE_CHECKING:
    from torch import nn

    from ml_playground.models.base import LanguageModel


class PositionConfig(Part):
    """Positional encoding."""

    kind: str = Field("learned", description="which way")

    def conflicts(self, model: "ModelConfig") -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ARG002 -- of some kinds
        """What of `[train.model]` it does not fit: the options to point at, and why."""
        return iter(())

    def build(self, model: "ModelConfig") -> "nn.Module":
        """A `models.position.Position` for a model with these options."""
        raise NotImplementedError

    def parameters(self, model: "ModelConfig") -> int | None:  # noqa: ARG002 -- of some kinds
        """How many trainable values that has; None if only building it tells."""
        return None


class NormConfig(Part):
    """Normalisation of activations."""

    kind: str = Field("layernorm", description="which one")

    def build(self, width: int, model: "ModelConfig") -> "nn.Module":
        """A module that normalises the last dimension, of size `width`."""
        raise NotImplementedError

    def parameters(self, width: int, model: "ModelConfig") -> int | None:  # noqa: ARG002 -- of some kinds
        """How many trainable values that has; None if only building it tells."""
        return None


class MLPConfig(Part):
    """The feed-forward network of a block."""

    kind: str = Field("gelu", description="which one")

    @classmethod
    def inner_width(cls, width: int) -> int:
        """The default of `n_inner` where `n_embd` is `width`."""
        return 4 * width

    def build(self, model: "ModelConfig") -> "nn.Module | None":
        """A module (B, T, C) to (B, T, C), None for no MLP."""
        raise NotImplementedError

    def parameters(self, model: "ModelConfig") -> int | None:  # noqa: ARG002 -- of some kinds
        """How many trainable values that has, 0 for no MLP; None if only building it tells."""
        return None


_MLP = PartOf(MLPS, "gelu")


class ModelOptions(Part):
    """The model: a transformer with the defaults of a family, any of which can be set separately, or another model."""

    kind: str = Field("gpt2", description="family whose defaults fill in what is not stated, or another model")
    block_size: PositiveInt = default_from(
        "train.data.block_size", "longest context the model can see, in tokens", gt=0, le=2**24
    )

    def conflicts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Options that do not fit each other: those to point at, and why."""
        return iter(())

    def summary(self) -> str:
        """The model in a few words."""
        return f"{self.kind}, block {self.block_size}"

    def build(self, vocab_size: int) -> "LanguageModel":
        """A new `LanguageModel` for ids below `vocab_size`, its weights drawn from torch's generator."""
        raise NotImplementedError

    def parameters(self, vocab_size: int) -> int | None:  # noqa: ARG002 -- of some models
        """How many trainable values that has, for those who need no torch; None if only building it tells."""
        return None


class ModelConfig(ModelOptions):
    """The transformer of a family; see `ModelOptions`."""

    file: Path | None = Field(
        None,
        description="Python file with a model of your own: its `build(config, vocab_size)` makes a `LanguageModel`",
    )
    options: Annotated[dict[str, Any], AfterValidator(plain_values)] = Field(
        {},
        description="with `file`, options of your own for that model, under any names: `build` finds them in "
        "`config.options`",
    )
    init_from: ModelName = Field(
        None,
        description="start with the weights and the shape of a trained model, whose values override this "
        "section except for `block_size` and `dropout`: a folder in Hugging Face's format (GPT-2, Llama, Mistral, "
        "Qwen2, Qwen3), a name on the Hugging Face Hub, or a checkpoint of nanoGPT",
    )
    n_layer: PositiveInt = Field(4, le=1000, description="number of transformer blocks")
    n_head: PositiveInt = Field(4, le=2**10, description="attention heads; must divide `n_embd`")
    n_embd: PositiveInt = Field(128, le=2**24, description="width of the residual stream")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate while training")
    bias: bool = Field(False, description="biases in linear layers and layer norms")
    n_kv_head: PositiveInt = derived("`n_head`", "key/value heads, shared among the query heads", gt=0, le=2**10)
    head_dim: PositiveInt = derived("`n_embd / n_head`", "width of a head", gt=0, le=2**24)
    n_inner: PositiveInt = derived("4 `n_embd`; 8/3 of it for `swiglu`", "width inside an MLP", gt=0, le=2**26)
    position: Annotated[PositionConfig, PartOf(POSITIONS, "learned")] = family_default("positional encoding")
    norm: Annotated[NormConfig, PartOf(NORMS, "layernorm")] = family_default("normalisation")
    norm_eps: float = family_default("added to the variance before its square root", ge=1e-30, le=1)
    norm_placement: Literal["pre", "post", "sandwich"] = family_default(
        "before attention and MLP, after their sum with the residual stream, or before and after them"
    )
    mlp: Annotated[MLPConfig, _MLP] = family_default("feed-forward type")
    qk_norm: bool = family_default("normalise queries and keys")
    value_norm: bool = Field(False, description="normalise values")
    tied_embeddings: bool = family_default("tie input and output embeddings")
    embedding_norm: bool = family_default("normalise the embeddings before the first block")
    value_embeddings: bool = Field(False, description="each layer adds a learned vector per token to its values")
    ngram_embeddings: NonNegativeInt = family_default(
        "add embeddings of the last 2, ..., n tokens; 0 turns it off", le=4
    )
    ngram_buckets: PositiveInt = Field(
        2**14, le=2**26, description="most rows per table of n-gram embeddings; n-grams beyond that many share rows"
    )
    logit_softcap: Annotated[float, zero_or_from(1e-3)] = Field(
        0.0, ge=0, le=1e6, description="bound logits by this value with tanh; 0 turns it off"
    )
    sliding_window: NonNegativeInt = Field(0, description="attend only to this many last tokens; 0 is all")
    zero_init: bool = family_default("start with all projections into the residual stream and the logits at zero")

    def conflicts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """See `ModelOptions`."""
        if self.head_dim == self.n_embd // self.n_head and self.n_embd % self.n_head:
            yield ("n_head", "n_embd"), f"{self.n_head} heads do not divide n_embd = {self.n_embd}"
        if self.n_head % self.n_kv_head:
            yield ("n_kv_head", "n_head"), f"{self.n_kv_head} key/value heads do not divide n_head = {self.n_head}"
        yield from self.position.conflicts(self)
        if self.sliding_window >= self.block_size:
            yield (
                ("sliding_window", "block_size"),
                f"a window of {self.sliding_window} hides nothing of {self.block_size} tokens",
            )
        if self.init_from is not None and self.file is not None:
            yield ("init_from", "file"), "a model of your own cannot begin with another's weights"
        if self.options and self.file is None:
            yield ("options",), "means nothing without file, the model of your own that these options are for"
        if self.ngram_embeddings == 1:
            yield ("ngram_embeddings",), "n-grams begin with 2 tokens; 0 has none"
        if self.zero_init and self.norm_placement == "sandwich":
            yield (
                ("zero_init", "norm_placement", "kind"),
                "a norm after a projection that starts at zero blows up its first step",
            )

    def linear(self, inputs: int, outputs: int) -> int:
        """How many values a linear layer of the model has."""
        return outputs * (inputs + self.bias)

    def summary(self) -> str:
        """See `ModelOptions`."""
        return f"{self.n_layer} layers, {self.n_head} heads, {self.n_embd} wide, block {self.block_size}"

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, values: Any) -> Any:
        return cls.completed(values) if is_table(values) else values

    @classmethod
    def completed(cls, stated: Table) -> Table:
        """See `Section`: what the family says, and sizes that follow from others."""
        defaults = {name: field.default for name, field in cls.model_fields.items() if not field.is_required()}
        filled = apply_defaults(stated, defaults)
        n_embd = filled["n_embd"]
        if isinstance(n_embd, int) and "n_inner" not in filled:
            mlp: type[MLPConfig] = _MLP.options(filled.get("mlp", {}))
            filled["n_inner"] = mlp.inner_width(n_embd)
        return filled
