"""`[train.hf_model]`: a pretrained model to fine-tune, whole or through adapters (`[train.peft]`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from ml_playground.config.paths import relative_paths
from ml_playground.errors import CheckpointError
from ml_playground.models.spec import ModelSpec, Sections, Vocabulary
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.hub import WEIGHT_FILES, find_folder, fingerprint
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Change, Table, changes, is_table

if TYPE_CHECKING:  # Hugging Face's libraries take seconds to import, which describing a model does not need
    from torch import Tensor

    from ml_playground.finetune.model import FineTuned
    from ml_playground.models.base import LanguageModel
    from ml_playground.run.store import Artifact

_FREE = ("model_name", "revision", "block_size", "gradient_checkpointing")  # none of which changes a weight


@dataclass(frozen=True)
class FineTunedSpec(ModelSpec):
    """`[train.hf_model]` and `[train.peft]`.

    Attributes:
        name: the model: a folder, or a name on the Hub.
        revision: see `[train.hf_model]`.
    """

    name: str
    revision: str | None
    sections: ClassVar[tuple[str, ...]] = ("hf_model", "peft")
    merges: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = False

    @property
    def adapters(self) -> bool:
        """Whether it is trained through adapters."""
        return bool(self.options["peft"]["enabled"])

    @classmethod
    def of_config(cls, train: Sections, root: Path) -> Self:
        """See `ModelSpec`."""
        hf_model = train.hf_model
        sections = {"hf_model": hf_model.model_dump(), "peft": train.peft.model_dump()}
        options = {**relative_paths(sections, root), "block_size": hf_model.block_size}
        return cls(options, str(hf_model.model_name), hf_model.revision)

    @classmethod
    def unnamed(cls, options: Mapping[str, Any]) -> Self:
        """See `ModelSpec`."""
        table = options["hf_model"]
        name = table.get("model_name") if is_table(table) else table
        raise CheckpointError(f"its model is {name}, fine-tuned. Name that in [train.hf_model] model_name.")

    def build(self) -> "FineTuned":
        """See `ModelSpec`."""
        from ml_playground.finetune.model import build_finetuned

        return build_finetuned(self.options, self.name, self.revision)

    def restore(self, weights: "Mapping[str, Tensor]") -> "LanguageModel":
        """See `ModelSpec`."""
        from ml_playground.models.build import load_weights

        model = self.build()
        load_weights(model, weights)
        return model

    def restore_folder(self, folder: Path) -> "LanguageModel":
        """See `ModelSpec`: a folder of adapters."""
        from ml_playground.finetune.model import load_adapted

        return load_adapted(self.options, self.name, self.revision, folder)

    def summary(self, vocab_size: int | None) -> str:
        """See `ModelSpec`."""
        _ = vocab_size
        how = f"adapters of rank {self.options['peft']['r']} for" if self.adapters else "all weights of"
        return f"{how} {display_path(Path(self.name))}, block {self.options['block_size']}"

    def stated(self, train: Table) -> Table:
        """See `ModelSpec`."""
        _ = train
        return {name: self.options[name] for name in self.sections}

    def for_data(self, vocabulary: Vocabulary) -> ModelSpec:
        """See `ModelSpec`."""
        tokens = {"vocab_size": vocabulary.vocab_size, "new_tokens": vocabulary.untrained_tokens()}
        return replace(self, options={**self.options, **tokens})

    def resume(self, saved: Mapping[str, Any]) -> tuple[ModelSpec, list[Change]]:
        """See `ModelSpec`: the checkpoint's options win, except those that change no weight."""
        self.require_same_sections(saved)
        today = self.options["hf_model"]
        hf_model = {**saved["hf_model"], **{key: today[key] for key in _FREE}}
        options = {**saved, "hf_model": hf_model, "block_size": hf_model["block_size"]}
        differing = [
            change for name in self.sections for change in changes(options[name], self.options[name], f"train.{name}")
        ]
        return replace(self, options=options), differing

    def identity(self) -> str | None:
        """See `ModelSpec`: the hash of the pretrained weights."""
        return fingerprint(find_folder(self.name, WEIGHT_FILES, self.revision))

    def verify_identity(self, saved: str | None, name: str) -> str | None:
        """See `ModelSpec`."""
        if saved in (None, self.identity()):
            return None
        raise CheckpointError(
            f"{name} was trained from different weights than those of [train.hf_model] model_name = {self.name}. "
            "Name the old ones, or set another [train.runtime] out_dir."
        )

    def with_base_dtype(self, dtype: str) -> ModelSpec:
        """See `ModelSpec`."""
        hf_model = {**self.options["hf_model"], "dtype": dtype, "quantization": "none"}
        return replace(self, options={**self.options, "hf_model": hf_model})

    def candidates(self, run: RunDirectory) -> Iterator[Path]:
        """See `ModelSpec`."""
        if not self.adapters:
            yield from super().candidates(run)
            return
        yield from (run.adapters("best"), run.best_checkpoint, run.adapters("last"), run.adapters("final"))
        yield from (run.last_checkpoint, run.previous_checkpoint)

    def artifacts(self, run: RunDirectory, model: "LanguageModel", tokenizer: Path) -> "Sequence[Artifact]":
        """See `ModelSpec`: adapters in PEFT's format."""
        if not self.adapters:
            return ()
        from ml_playground.finetune.adapters import Adapters

        return (Adapters(run, cast("FineTuned", model), tokenizer),)  # which `build` has made
