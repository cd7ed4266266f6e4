"""Models of `[train.model]`: built-in, initialised from another model, or from a user's own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from ml_playground.config.parts import PartOf
from ml_playground.config.paths import relative_paths
from ml_playground.config.registries import MODELS
from ml_playground.config.sections import ModelConfig, ModelOptions
from ml_playground.errors import CheckpointError
from ml_playground.models.spec import Beginning, ModelSpec, Pretrained, Sections, Vocabulary
from ml_playground.utils.modules import code_hash
from ml_playground.utils.paths import display_path
from ml_playground.utils.registry import named_by
from ml_playground.utils.tables import Change, Table, changes

if TYPE_CHECKING:  # see `models.spec`
    import torch
    from torch import Tensor

    from ml_playground.models.base import LanguageModel

_READER = "ml_playground.interop.pretrained:load_pretrained"  # which is in a higher layer


@dataclass(frozen=True)
class BuiltInModel(ModelSpec):
    """`[train.model]`."""

    @classmethod
    def of_config(cls, train: Sections, root: Path) -> Self:
        """See `ModelSpec`."""
        return cls(relative_paths(train.model.model_dump(), root))

    @classmethod
    def unnamed(cls, options: Mapping[str, Any]) -> Self:
        """See `ModelSpec`: nothing else is needed."""
        return cls(options)

    def build(self) -> "LanguageModel":
        """See `ModelSpec`."""
        from ml_playground.models.build import build_model

        return build_model(self.options)

    def restore(self, weights: "Mapping[str, Tensor]") -> "LanguageModel":
        """See `ModelSpec`."""
        from ml_playground.models.build import restore_model

        return restore_model(self.options, weights)

    def summary(self, vocab_size: int | None) -> str:
        """See `ModelSpec`."""
        if vocab_size is None:
            return f"{self._shape()}; the number of parameters is known once the data is prepared"
        return f"{self._shape()}: {self._count({**self.options, 'vocab_size': vocab_size}):,} parameters"

    def stated(self, train: Table) -> Table:
        """See `ModelSpec`."""
        model: Table = train["model"]
        if model["kind"] == self.options.get("kind"):
            return {"model": {key: self.options.get(key, value) for key, value in model.items()}}
        return {"model": {key: value for key, value in self.options.items() if key != "vocab_size"}}

    def for_data(self, vocabulary: Vocabulary) -> ModelSpec:
        """See `ModelSpec`."""
        return replace(self, options={**self.options, "vocab_size": vocabulary.vocab_size})

    def resume(self, saved: Mapping[str, Any]) -> tuple[ModelSpec, list[Change]]:
        """See `ModelSpec`: the checkpoint's options win."""
        self.require_same_sections(saved)
        spec = self.of_checkpoint(saved)
        require_kind(saved)
        asked_for = [key for key in spec.asked_for or self.options if key in self.options and key in saved]
        had, wanted = ({key: options[key] for key in asked_for} for options in (saved, self.options))
        return spec, list(changes(had, wanted, "train.model"))

    def _shape(self) -> str:
        return model_options({key: value for key, value in self.options.items() if key != "vocab_size"}).summary()

    def _count(self, options: Mapping[str, Any]) -> int:
        stated = {key: value for key, value in options.items() if key != "vocab_size"}
        if (known := model_options(stated).parameters(options["vocab_size"])) is not None:
            return known
        from ml_playground.models.build import count_parameters

        return count_parameters(options)


@dataclass(frozen=True)
class InitFrom(BuiltInModel):
    """`[train.model] init_from`: the shape and the initial weights of another model.

    Attributes:
        source: a folder, a name on the Hub, or a checkpoint; empty if it was read from a checkpoint.
    """

    source: str = ""
    # The other model's shape is used, whatever the rest of the section says.
    asked_for: ClassVar[tuple[str, ...] | None] = ("init_from", "block_size", "dropout")
    from_scratch: ClassVar[bool] = False

    @classmethod
    def of_config(cls, train: Sections, root: Path) -> Self:
        """See `ModelSpec`."""
        return cls(relative_paths(train.model.model_dump(), root), str(cast("ModelConfig", train.model).init_from))

    def summary(self, vocab_size: int | None) -> str:
        """See `ModelSpec`."""
        _ = vocab_size
        return f"initialised from {display_path(Path(self.source))}"

    def begin(self, vocabulary: Vocabulary, text: str) -> Beginning:
        """See `ModelSpec`."""
        # Hugging Face's libraries take half a second to import, which training from scratch does not need.
        read = cast("Callable[..., Pretrained]", named_by(_READER))
        wanted = {key: self.options[key] for key in ("block_size", "dropout")}
        found = read(self.source, vocabulary=vocabulary, text=text, **wanted)
        shape = ", ".join(f"{key} = {found.options[key]}" for key in ("kind", "n_layer", "n_head", "n_embd"))
        spec = replace(self, options={**found.options, "init_from": self.options["init_from"]})
        return Beginning(spec, found.weights, f"initialised from {display_path(Path(self.source))}: {shape}")


@dataclass(frozen=True)
class ModelFile(BuiltInModel):
    """`[train.model] file`: a model of the user's own.

    Attributes:
        file: the Python file.
    """

    file: Path

    @classmethod
    def of_config(cls, train: Sections, root: Path) -> Self:
        """See `ModelSpec`."""
        return cls(relative_paths(train.model.model_dump(), root), cast("Path", cast("ModelConfig", train.model).file))

    @classmethod
    def unnamed(cls, options: Mapping[str, Any]) -> Self:
        """See `ModelSpec`."""
        raise CheckpointError(f"its model comes from {options['file']}. Name that file in [train.model] file.")

    def build(self) -> "LanguageModel":
        """See `ModelSpec`."""
        from ml_playground.models.build import build_from_file

        return build_from_file(self.file, self.options)

    def restore(self, weights: "Mapping[str, Tensor]") -> "LanguageModel":
        """See `ModelSpec`."""
        from ml_playground.models.build import load_weights

        model = self.build()
        load_weights(model, weights)
        return model

    def identity(self) -> str | None:
        """See `ModelSpec`: the hash of the file."""
        return code_hash(self.file)

    def verify_identity(self, saved: str | None, name: str) -> str | None:
        """See `ModelSpec`."""
        if saved in (None, self.identity()):
            return None
        return f"[train.model] file: {display_path(self.file)} has changed since {name}"

    def check(self, device: "torch.device") -> str | None:
        """See `ModelSpec`: on a separate model, so that training is not affected."""
        from ml_playground.models.causality import require_causal

        return require_causal(self.build().to(device), self.file)

    def _shape(self) -> str:
        return display_path(self.file)

    def _count(self, options: Mapping[str, Any]) -> int:
        # It is really built, not on the meta device: its code may compute with its weights.
        return replace(self, options=options).build().num_parameters()


def model_options(stated: Mapping[str, Any]) -> ModelOptions:
    """The options of `[train.model]` from plain values. Raises ValidationError, a ValueError, if they are invalid."""
    return cast("ModelOptions", PartOf(MODELS, "gpt2").validate(dict(stated)))


def require_kind(options: Mapping[str, Any]) -> None:
    """Raises CheckpointError if the model with these options is of a kind that nothing here brings."""
    if isinstance(kind := options.get("kind"), str) and kind not in MODELS:
        raise CheckpointError(
            f"its model is of the kind {kind!r}, which is not one of {', '.join(MODELS)}. "
            "If it is your own, name its file in 'plugins', or install the package that brings it."
        )


BUILT_IN = BuiltInModel({})
"""For checkpoints of built-in models, which need nothing else named."""
