"""What `[train.model]` or `[train.hf_model]` names: the one place that knows whose model a run is about."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, cast

from ml_playground.config.sections import HfModelConfig, ModelConfig, ModelOptions, PeftConfig
from ml_playground.errors import CheckpointError
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.registry import named_by
from ml_playground.utils.tables import Change, Table, is_table

if TYPE_CHECKING:  # torch takes half a second to import, which those who only describe a model are spared
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from ml_playground.models.base import LanguageModel
    from ml_playground.run.store import Artifact

_KINDS = {  # the option that a kind is known by, and where its class is; a model without any of them is built in
    "hf_model": "ml_playground.finetune.spec:FineTunedSpec",
    "file": "ml_playground.models.kinds:ModelFile",
    "init_from": "ml_playground.models.kinds:InitFrom",
}
_BUILT_IN = "ml_playground.models.kinds:BuiltInModel"
_SECTIONS = ("model", "hf_model", "peft")  # of [train], all that describe models


class Sections(Protocol):
    """The sections of `[train]` that describe a model."""

    @property
    def model(self) -> ModelOptions:
        """`[train.model]`."""
        ...

    @property
    def hf_model(self) -> HfModelConfig:
        """`[train.hf_model]`."""
        ...

    @property
    def peft(self) -> PeftConfig:
        """`[train.peft]`."""
        ...


class Vocabulary(Protocol):
    """What a model is told of the tokens of its data: a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        ...

    @property
    def start_id(self) -> int | None:
        """The token that documents begin with."""
        ...

    def special_ids(self) -> set[int]:
        """Tokens that no text is encoded to."""
        ...

    def untrained_tokens(self) -> dict[int, list[int]]:
        """Ids that a trained model has never seen, each with those that its name was encoded to before."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for."""
        ...

    def encode(self, text: str) -> "NDArray[Any]":
        """The ids of a text."""
        ...


class Pretrained(NamedTuple):
    """A trained model to begin with.

    Attributes:
        options: as in `ModelSpec`, complete.
        weights: the model's state.
    """

    options: Mapping[str, Any]
    weights: "Mapping[str, Tensor]"


class Beginning(NamedTuple):
    """How a new run begins.

    Attributes:
        spec: its model, whose options are complete.
        weights: those to begin with; None draws them.
        report: where they come from, None where they are drawn.
    """

    spec: "ModelSpec"
    weights: "Mapping[str, Tensor] | None" = None
    report: str | None = None


@dataclass(frozen=True)
class ModelSpec(ABC):
    """A model that can be built.

    Attributes:
        options: plain values, which checkpoints keep; complete once the data is known (`for_data`).
        sections: those of `[train]` that describe it.
        asked_for: the options that these sections decide where a checkpoint has others; None is all of them.
        merges: whether other programs get it as `merge` has written it.
        from_scratch: whether its weights are drawn at random.
    """

    options: Mapping[str, Any]
    sections: ClassVar[tuple[str, ...]] = ("model",)
    asked_for: ClassVar[tuple[str, ...] | None] = None
    merges: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def of_config(cls, train: Sections, root: Path) -> Self:
        """See `spec_of`."""

    @classmethod
    @abstractmethod
    def unnamed(cls, options: Mapping[str, Any]) -> Self:
        """The model of a checkpoint, with nothing else named for it.

        Raises:
            CheckpointError: it needs something else, such as a file: none is run because a checkpoint names it.
        """

    @abstractmethod
    def build(self) -> "LanguageModel":
        """A new model.

        Raises:
            CheckpointError: there is none with these options.
            ConfigError: a model of the user's own refuses them, or a trained one has nothing that they could act on.
        """

    @abstractmethod
    def restore(self, weights: "Mapping[str, Tensor]") -> "LanguageModel":
        """The model with the state of a checkpoint, which is `LanguageModel.trainable_state_dict`.

        Raises:
            CheckpointError: it does not fit the options, or there is no model with these.
        """

    @abstractmethod
    def summary(self, vocab_size: int | None) -> str:
        """A line about it. `vocab_size` is that of the data, None as long as none is prepared."""

    @abstractmethod
    def stated(self, train: Table) -> Table:
        """The sections of a resolved `[train]` that describe it, with its options."""

    @abstractmethod
    def for_data(self, vocabulary: Vocabulary) -> "ModelSpec":
        """The same with complete options, for data with these tokens."""

    @abstractmethod
    def resume(self, saved: Mapping[str, Any]) -> "tuple[ModelSpec, list[Change]]":
        """The model to train further where a checkpoint has the options `saved`, and what was asked for in vain.

        Raises:
            CheckpointError: it is a model of another kind.
        """

    def begin(self, vocabulary: Vocabulary, text: str) -> Beginning:
        """How a new run on data with these tokens begins, of which `text` is a sample.

        Raises:
            CheckpointError: the model to begin with is missing, or does not fit.
        """
        _ = text
        return Beginning(self.for_data(vocabulary))

    def of_checkpoint(self, options: Mapping[str, Any]) -> "ModelSpec":
        """The model of a checkpoint with these options, and with what this one names for it, such as a file.

        Raises:
            CheckpointError: it needs something that is not named.
        """
        kind = kind_of(options)
        return replace(self, options=options) if type(self) is kind else kind.unnamed(options)

    @property
    def idle_sections(self) -> tuple[str, ...]:
        """Sections of `[train]` that mean nothing to it."""
        return tuple(name for name in _SECTIONS if name not in self.sections)

    def identity(self) -> str | None:
        """The hash of what it is made of beside its options; None where that is nothing."""
        return None

    def verify_identity(self, saved: str | None, name: str) -> str | None:
        """Compare `identity` with that in the checkpoint `name`; a warning where the difference is the user's to judge.

        Raises:
            CheckpointError: the weights in the checkpoint mean nothing with this one.
        """
        _ = saved, name
        return None

    def check(self, device: "torch.device") -> str | None:
        """Look for mistakes in code of the user's own before the first step; a warning about lesser ones.

        Raises:
            ConfigError: training would mean nothing.
        """
        _ = device
        return None

    def with_base_dtype(self, dtype: str) -> "ModelSpec":
        """The same, with the weights that are not trained in another number format."""
        _ = dtype
        return self

    def candidates(self, run: RunDirectory) -> Iterator[Path]:
        """Where the trained weights of a run could be, the better ones first: checkpoints, and folders of adapters."""
        yield from (run.best_checkpoint, run.last_checkpoint, run.previous_checkpoint)

    def restore_folder(self, folder: Path) -> "LanguageModel":
        """The model with the weights in one of the folders among `candidates`.

        Raises:
            CheckpointError: they cannot be loaded.
        """
        raise CheckpointError(f"{folder} is not a checkpoint.")

    def artifacts(self, run: RunDirectory, model: "LanguageModel", tokenizer: Path) -> "Sequence[Artifact]":
        """What is written beside each checkpoint.

        Args:
            run: where.
            model: what `build` made.
            tokenizer: the folder with its tokenizer's files.
        """
        _ = run, model, tokenizer
        return ()

    def require_merging(self) -> None:
        """Raises CheckpointError if there is nothing to merge."""
        if not self.merges:
            raise CheckpointError("[train.hf_model] model_name is not stated: there is nothing to merge. See 'export'.")

    def require_same_sections(self, saved: Mapping[str, Any]) -> None:
        """Raises CheckpointError if the model in ckpt_last.pt, with the options `saved`, is of other sections."""
        if kind_of(saved).sections != self.sections:
            raise CheckpointError(
                "ckpt_last.pt is of another kind of model: one of [train.model] and [train.hf_model] was trained, and "
                "now it is the other. Set another [train.runtime] out_dir."
            )


def spec_of(train: Sections, root: Path) -> ModelSpec:
    """The model that a configuration names.

    Args:
        train: its sections.
        root: the folder of its project, to which the paths in the options are relative.
    """
    named: dict[str, object] = {"hf_model": train.hf_model.model_name}
    if isinstance(train.model, ModelConfig):
        named |= {"file": train.model.file, "init_from": train.model.init_from}
    return kind_of(named).of_config(train, root)


def kind_of(options: Mapping[str, Any]) -> type[ModelSpec]:
    """The kind of model that has these options.

    Raises:
        CheckpointError: they are not options.
    """
    if not is_table(options):
        raise CheckpointError(f"no model can be built from a {type(options).__name__}")
    place = next((place for key, place in _KINDS.items() if options.get(key) is not None), _BUILT_IN)
    return cast("type[ModelSpec]", named_by(place))
