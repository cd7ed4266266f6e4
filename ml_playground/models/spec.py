"""The model that `[train.model]` or `[train.hf_model]` specifies; nothing else asks of which kind it is."""

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

if TYPE_CHECKING:  # torch takes half a second to import, which describing a model does not need
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from ml_playground.models.base import LanguageModel
    from ml_playground.run.store import Artifact

_KINDS = {  # the option that identifies a kind, and its class; a model without any of them is built-in
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
    """What a model needs to know of its data's tokens: a tokenizer."""

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
        """The bytes that a token stands for."""
        ...

    def encode(self, text: str) -> "NDArray[Any]":
        """The ids of a text."""
        ...


class Pretrained(NamedTuple):
    """A trained model to start from.

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
        weights: the initial ones; None if they are random.
        report: where they come from, None if they are random.
    """

    spec: "ModelSpec"
    weights: "Mapping[str, Tensor] | None" = None
    report: str | None = None


@dataclass(frozen=True)
class ModelSpec(ABC):
    """A model that can be built.

    Attributes:
        options: plain values, which checkpoints keep; complete once the data is known (`for_data`).
        sections: the sections of `[train]` that describe it.
        asked_for: the options whose difference from a checkpoint's is reported on resume; None for all of them.
        merges: whether it is exported as `merge` has written it.
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
        """The model of a checkpoint, if the configuration names nothing for it.

        Raises:
            CheckpointError: it needs something else, such as a file, which is never run because a checkpoint names it.
        """

    @abstractmethod
    def build(self) -> "LanguageModel":
        """A new model.

        Raises:
            CheckpointError: no model has these options.
            ConfigError: a user's own model rejects them, or they would have no effect on a pretrained one.
        """

    @abstractmethod
    def restore(self, weights: "Mapping[str, Tensor]") -> "LanguageModel":
        """The model with a checkpoint's weights, from `LanguageModel.trainable_state_dict`.

        Raises:
            CheckpointError: it does not fit the options, or there is no model with these.
        """

    @abstractmethod
    def summary(self, vocab_size: int | None) -> str:
        """A line about it. `vocab_size` is None until data is prepared."""

    @abstractmethod
    def stated(self, train: Table) -> Table:
        """The sections of a resolved `[train]` that describe it, with its options."""

    @abstractmethod
    def for_data(self, vocabulary: Vocabulary) -> "ModelSpec":
        """The same with complete options, for data with these tokens."""

    @abstractmethod
    def resume(self, saved: Mapping[str, Any]) -> "tuple[ModelSpec, list[Change]]":
        """The model to resume from a checkpoint with the options `saved`, and configured options that are not used.

        Raises:
            CheckpointError: it is a model of another kind.
        """

    def begin(self, vocabulary: Vocabulary, text: str) -> Beginning:
        """How a new run begins on data with these tokens; `text` is a sample of it.

        Raises:
            CheckpointError: the model to start from is missing, or does not fit.
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
        """Sections of `[train]` that do not apply to it."""
        return tuple(name for name in _SECTIONS if name not in self.sections)

    def identity(self) -> str | None:
        """The hash of what it is made of besides its options; None if nothing."""
        return None

    def verify_identity(self, saved: str | None, name: str) -> str | None:
        """Compare `identity` with the one in the checkpoint `name`; a warning if the difference may be harmless.

        Raises:
            CheckpointError: the checkpoint's weights are meaningless with this one.
        """
        _ = saved, name
        return None

    def check(self, device: "torch.device") -> str | None:
        """Check a user's own code before the first step; a warning about minor mistakes.

        Raises:
            ConfigError: training would be meaningless.
        """
        _ = device
        return None

    def with_base_dtype(self, dtype: str) -> "ModelSpec":
        """The same, with its frozen weights in another number format."""
        _ = dtype
        return self

    def candidates(self, run: RunDirectory) -> Iterator[Path]:
        """Where the trained weights of a run may be, the best first: checkpoints, and folders of adapters."""
        yield from (run.best_checkpoint, run.last_checkpoint, run.previous_checkpoint)

    def restore_folder(self, folder: Path) -> "LanguageModel":
        """The model with the weights in one of the folders among `candidates`.

        Raises:
            CheckpointError: they cannot be loaded.
        """
        raise CheckpointError(f"{folder} is not a checkpoint.")

    def artifacts(self, run: RunDirectory, model: "LanguageModel", tokenizer: Path) -> "Sequence[Artifact]":
        """What is written along with each checkpoint.

        Args:
            run: its directory.
            model: what `build` returned.
            tokenizer: the folder with its tokenizer's files.
        """
        _ = run, model, tokenizer
        return ()

    def require_merging(self) -> None:
        """Raises CheckpointError if there is nothing to merge."""
        if not self.merges:
            raise CheckpointError("[train.hf_model] model_name is not set: there is nothing to merge. See 'export'.")

    def require_same_sections(self, saved: Mapping[str, Any]) -> None:
        """Raises CheckpointError if the model in ckpt_last.pt, with the options `saved`, is of other sections."""
        if kind_of(saved).sections != self.sections:
            raise CheckpointError(
                "ckpt_last.pt is of another kind of model: it was trained with one of [train.model] and "
                "[train.hf_model], and now the other is configured. Set another [train.runtime] out_dir."
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
