"""`meta.json`: what prepared data was made from and how, so that nothing stale is used silently."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.fast_tokenizer import tokenizer_of_model
from ml_playground.data.marks import marks_of
from ml_playground.data.sources import table_files, text_files
from ml_playground.errors import DataError

FORMAT = 2


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Record):
    """A file that text was read from; `path` counts from the dataset folder."""

    path: str
    bytes: int
    sha256: str
    encoding: str


class SplitInfo(_Record):
    """One token file. `bytes` are those of the text in UTF-8."""

    tokens: int
    documents: int
    bytes: int
    sha256: str


class Manifest(_Record):
    """The contents of `meta.json`."""

    format: int
    settings: dict[str, str | float | bool | None]
    sources: list[Source]
    columns: dict[str, str]  # of a CSV table, by what they hold
    tokenizer: dict[str, Any]
    vocab_size: int
    dtype: str  # uint16 or uint32, little-endian
    train: SplitInfo
    val: SplitInfo

    @property
    def fingerprint(self) -> str:
        """A hash of tokens and vocabulary: equal if and only if two runs can have seen the same data."""
        parts = [self.train.sha256, self.val.sha256, json.dumps(self.tokenizer, sort_keys=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def settings_of(config: PrepareConfig) -> dict[str, str | float | bool | None]:
    """The options of `[prepare]` that decide what the tokens are; a folder counts from the dataset's."""
    deciding = {"dataset", "encoding", "tokenizer", "documents", "val_fraction"}
    if config.documents == "files":
        deciding |= {"doc_separator", "add_structure_tokens", "interjections", "chair"}
    settings = config.model_dump(include=deciding)
    settings["raw_dir"] = relative_name(config.raw_dir, config.dataset_dir)
    if config.tokenizer == "huggingface":
        settings["tokenizer_from"] = Path(str(config.tokenizer_from)).name
        settings["tokenizer_revision"] = config.tokenizer_revision
    return settings


def manifest_path(dataset_dir: Path) -> Path:
    """Where the manifest of a dataset stands."""
    return dataset_dir / "meta.json"


def read_manifest(dataset_dir: Path) -> Manifest | None:
    """The manifest in `dataset_dir`, None where nothing is prepared.

    Raises:
        DataError: it is damaged, or a newer version wrote it.
    """
    path = manifest_path(dataset_dir)
    try:
        values = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise DataError(f"{path}: format {values['format']}, this version reads {FORMAT}; prepare the data again.")
        return Manifest.model_validate(values)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(f"{path}: damaged ({type(error).__name__}); prepare the data again.") from error


def differences(manifest: Manifest, config: PrepareConfig, sources: Sequence[Path] | None = None) -> list[str]:
    """Why prepared data no longer is what `config` asks for; empty if it is.

    Args:
        manifest: of the prepared data.
        config: what is asked for.
        sources: the files that the text is to come from. If None, those of the manifest that still exist, and what
            has been put beside them in `raw_dir`.
    """
    folder = Path(str(config.tokenizer_from))
    at_hand = config.tokenizer == "huggingface" and folder.is_absolute() and folder.is_dir()
    found = [
        f"[prepare] {key} was {manifest.settings.get(key)!r}, is {value!r}"
        for key, value in settings_of(config).items()
        if manifest.settings.get(key) != value and not (at_hand and key in ("tokenizer_from", "tokenizer_revision"))
    ]
    if at_hand:  # then the tokenizer itself is compared, whatever it is called
        tokenizer = tokenizer_of_model(str(folder), documents=config.documents, marks=marks_of(config))
        if tokenizer.describe() != manifest.tokenizer:
            found.append(f"the tokenizer in {relative_name(folder, config.dataset_dir)} has changed")
    recorded = {source.path: source for source in manifest.sources}
    if sources is None:
        names = [name for name in recorded if (config.dataset_dir / name).is_file()]
        there = text_files(config.raw_dir) + (table_files(config.raw_dir) if config.documents == "files" else [])
        beside = {relative_name(path, config.dataset_dir) for path in there}
        if beside & recorded.keys():
            names += sorted(beside - recorded.keys())
    else:
        names = [relative_name(path, config.dataset_dir) for path in sources]
        found += [f"{name} is gone" for name in recorded if name not in names]
    for name in names:
        if name not in recorded:
            found.append(f"{name} is new")
        elif sha256_of(config.dataset_dir / name) != recorded[name].sha256:
            found.append(f"{name} has changed")
    return found


def relative_name(path: Path, dataset_dir: Path) -> str:
    """How a manifest names a source file."""
    return Path(os.path.relpath(path, dataset_dir)).as_posix()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
