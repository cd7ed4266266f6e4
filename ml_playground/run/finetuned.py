"""What a fine-tuned run records with its adapters and its merged model."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ml_playground.errors import DamagedCheckpointError
from ml_playground.run.checkpoint import Checkpoint
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.checksums import verify_checksums
from ml_playground.utils.files import current, read_file, write_json

_TOKENIZER = "tokenizer.json"  # in the adapters' folder, where other programs look for it


@dataclass(frozen=True)
class AdapterInfo:
    """`training.json` of adapters: what they were trained on, and how far. The rest is as in `Provenance`."""

    step: int
    val_loss: float
    model_args: dict[str, Any]
    model_identity: str
    tokenizer: dict[str, Any]
    data: str
    versions: dict[str, str]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "AdapterInfo":
        """The record for the adapters in a checkpoint."""
        origin = checkpoint.origin
        return cls(
            step=checkpoint.progress.step,
            val_loss=checkpoint.progress.val_loss,
            model_args=origin.model_args,
            model_identity=str(origin.model_identity),
            tokenizer=origin.tokenizer,
            data=origin.data,
            versions=origin.versions,
        )

    def write(self, folder: Path) -> None:
        """Write it to a folder of adapters, where the tokenizer has a file of its own."""
        tokenizer = {key: value for key, value in self.tokenizer.items() if key != "tokenizer"}
        write_json(folder / RunDirectory.ADAPTER_INFO, {**asdict(self), "tokenizer": tokenizer})

    @classmethod
    def read(cls, folder: Path) -> "AdapterInfo":
        """Read what `write` wrote.

        Raises:
            DamagedCheckpointError: a file in `folder` has changed since.
        """
        verify_checksums(folder)
        try:
            info = cls(**json.loads((folder / RunDirectory.ADAPTER_INFO).read_bytes()))
            text = (folder / _TOKENIZER).read_text(encoding="utf-8")
            # JSON keys are strings.
            new_tokens = {int(token): before for token, before in info.model_args["new_tokens"].items()}
            model_args, tokenizer = {**info.model_args, "new_tokens": new_tokens}, {**info.tokenizer, "tokenizer": text}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            # It was changed, and its checksums with it.
            raise DamagedCheckpointError(f"{folder}: damaged ({type(error).__name__}: {error})") from error
        return replace(info, model_args=model_args, tokenizer=tokenizer)


@dataclass(frozen=True)
class MergeSource:
    """What a merged model was made from.

    Attributes:
        made_of: name of the checkpoint, or of the folder of adapters.
        step: optimiser steps that it was trained for.
        val_loss: in nats per token.
        weights: hash of its file, see `inference.load.weights_hash`.
    """

    made_of: str
    step: int
    val_loss: float
    weights: str


@dataclass(frozen=True)
class LogitComparison:
    """How closely a merged model's logits match those of the model with its adapters, on validation text.

    Attributes:
        largest_difference: between their logits, in absolute value.
        largest_logit: of the model with its adapters, in absolute value.
        tolerance: the largest difference allowed, as a share of the largest logit.
        tokens: number of positions at which the logits of all ids were compared.
    """

    largest_difference: float
    largest_logit: float
    tolerance: float
    tokens: int


@dataclass(frozen=True)
class MergeInfo:
    """`merge.json` in a merged model."""

    source: MergeSource
    comparison: LogitComparison

    def write(self, folder: Path) -> None:
        """Write it to the folder of the merged model."""
        write_json(folder / RunDirectory.MERGE_INFO, {**asdict(self.source), **asdict(self.comparison)})

    @classmethod
    def read(cls, run: RunDirectory) -> "MergeInfo | None":
        """The record in `merged/`, None if the folder or the file is missing or damaged."""
        try:
            values = json.loads(read_file(current(run.merged) / RunDirectory.MERGE_INFO))
            source, comparison = (
                {name: values[name] for name in each.__dataclass_fields__} for each in (MergeSource, LogitComparison)
            )
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return cls(MergeSource(**source), LogitComparison(**comparison))
