"""`meta.json`: what prepared data was made from and how, so that nothing stale is used silently."""

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ml_playground.config.parts import code_of
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.document import Structure
from ml_playground.data.folders import contents_of, require_file
from ml_playground.data.sources.base import source_of
from ml_playground.data.tokenizers.options import Texts, tokenizer_options
from ml_playground.errors import DataError
from ml_playground.utils.checksums import sha256_of
from ml_playground.utils.files import json_text

FORMAT = 4

_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|\\)")
_TICKS_NS = (2 * 10**9, 20 * 10**6)  # the coarsest timestamps of file systems: whole seconds, and others


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RawFile(_Record):
    """A file that text was read from; `path` is relative to the dataset folder.

    Its content is compared again only if its size or modification time has changed.
    """

    path: str
    bytes: int
    mtime_ns: int
    sha256: str
    encoding: str

    @classmethod
    def of(cls, file: Path, encoding: str, dataset_dir: Path) -> "RawFile":
        """The file's present state."""
        about = _settled(file)
        return cls(
            path=relative_name(file, dataset_dir),
            bytes=about.st_size,
            mtime_ns=about.st_mtime_ns,
            sha256=sha256_of(file),
            encoding=encoding,
        )

    def has_changed(self, file: Path) -> bool:
        """Whether the content of `file` has changed."""
        about = file.stat()
        if about.st_size != self.bytes:
            return True
        return about.st_mtime_ns != self.mtime_ns and sha256_of(file) != self.sha256


class SplitInfo(_Record):
    """One token file.

    Attributes:
        bytes: those that the raw text has in UTF-8, with its line ends, separators and all that tokens were added for.
        documents_sha256: of the documents in JSON.
    """

    tokens: int
    documents: int
    bytes: int
    sha256: str
    documents_sha256: str | None


class Manifest(_Record):
    """The contents of `meta.json`."""

    format: int
    settings: dict[str, Any]
    sources: list[RawFile]
    columns: dict[str, str]  # of a CSV table, by what they hold
    tokenizer: dict[str, Any]
    tokenizer_files: dict[str, str]  # files of tokenizer/ with their SHA-256
    lost: float  # share of characters without a token
    vocab_size: int
    dtype: str  # uint16 or uint32, little-endian
    train: SplitInfo
    val: SplitInfo

    @property
    def fingerprint(self) -> str:
        """A hash of tokens and vocabulary: equal if and only if two runs can have seen the same data."""
        parts = [self.train.sha256, self.val.sha256, json.dumps(self.tokenizer, sort_keys=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def validation_text(self) -> str:
        """A hash of what decides the validation text but not its tokens: raw files, and how they are read and split."""
        settings = {
            key: value for key, value in self.settings.items() if key != "raw_dir" and not key.startswith("tokenizer.")
        }
        parts = [sorted(source.sha256 for source in self.sources), self.columns, settings]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def settings_of(config: PrepareConfig) -> dict[str, Any]:
    """The options of `[prepare]` that decide what the tokens are, by name; a folder counts from the dataset's."""
    settings = config.model_dump(mode="json", include={"dataset", "encoding"})
    settings["raw_dir"] = relative_name(config.raw_dir, config.dataset_dir)
    if config.source.packing == "ended":
        settings |= config.model_dump(include={"doc_separator", "add_structure_tokens"})
    parts = {
        "source": config.source.model_dump(mode="json"),
        "tokenizer": tokenizer_options(config).identity(),
        "split": config.split.model_dump(mode="json"),
    }
    for name, part in (("source", config.source), ("tokenizer", config.tokenizer), ("split", config.split)):
        if (code := code_of(type(part))) is not None:
            parts[name] = {**parts[name], "code": code}
    return settings | {f"{name}.{key}": value for name, options in parts.items() for key, value in options.items()}


def manifest_path(dataset_dir: Path) -> Path:
    """The path of a dataset's manifest."""
    return dataset_dir / "meta.json"


def read_manifest(dataset_dir: Path) -> Manifest | None:
    """The manifest in `dataset_dir`, None where nothing is prepared.

    Raises:
        DataError: it is damaged, or written by a newer version.
    """
    path = manifest_path(dataset_dir)
    if not path.exists():
        return None
    require_file(path)
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise DataError(f"{path}: format {values['format']}, this version reads {FORMAT}. Run 'prepare' again.")
        checksum = values.pop("checksum")
        if checksum != _checksum(values):
            raise DataError(f"{path}: damaged (its checksum does not match). Run 'prepare' again.")
        return Manifest.model_validate(values)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: damaged ({type(error).__name__}). Run 'prepare' again.") from error


def manifest_text(manifest: Manifest) -> bytes:
    """The contents of `meta.json`, with their own checksum."""
    values = manifest.model_dump()
    return json_text({**values, "checksum": _checksum(values)})


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def differences(manifest: Manifest, config: PrepareConfig, sources: Sequence[Path] | None = None) -> list[str]:
    """Why prepared data no longer is what `config` asks for; empty if it is.

    Args:
        manifest: of the prepared data.
        config: what is asked for.
        sources: the files that the text is to come from. If None, those of the manifest that still exist, and what
            has been put beside them in `raw_dir`.
    """
    options = tokenizer_options(config)
    same_kind = manifest.settings.get("tokenizer.kind") == options.kind
    by_content = options.content_decides and same_kind
    now = settings_of(config)
    found = [
        f"{_option(key)} was {manifest.settings.get(key)!r}, is {now.get(key)!r}"
        for key in dict.fromkeys([*now, *manifest.settings])
        if manifest.settings.get(key) != now.get(key) and not (by_content and key.startswith("tokenizer."))
    ]
    if by_content:
        structure = Structure.of(config)
        texts = Texts(lambda: (), config.source.packing, structure.tokens, structure.last)
        if options.build(texts).describe() != manifest.tokenizer:
            found.append(
                f"the tokenizer in {relative_name(Path(str(options.of_model)), config.dataset_dir)} has changed"
            )
    if manifest.lost > config.max_lost:
        found.append(f"its tokens lose {manifest.lost:.2%} of the text, more than [prepare] max_lost")
    recorded = {source.path: source for source in manifest.sources}
    if sources is None:
        names = [name for name in recorded if path_of(name, config.dataset_dir).is_file()]
        there = contents_of(config.raw_dir, source_of(config).endings).found
        beside = {relative_name(path, config.dataset_dir) for path in there}
        if beside & recorded.keys():
            names += sorted(beside - recorded.keys())
    else:
        names = [relative_name(path, config.dataset_dir) for path in sources]
        found += [f"{name} is gone" for name in recorded if name not in names]
    for name in names:
        if name not in recorded:
            found.append(f"{name} is new")
        elif recorded[name].has_changed(path_of(name, config.dataset_dir)):
            found.append(f"{name} has changed")
    return found


def _option(key: str) -> str:
    """How a message names one of `settings_of`."""
    part, _, name = key.rpartition(".")
    return f"[prepare.{part}] {name}" if part else f"[prepare] {name}"


def relative_name(path: Path, dataset_dir: Path) -> str:
    """How a manifest names a source file: with bytes that are not UTF-8 escaped, and so backslashes too."""
    try:
        name = Path(os.path.relpath(path, dataset_dir)).as_posix()
    except ValueError:  # on another drive
        name = path.absolute().as_posix()
    return os.fsencode(name.replace("\\", "\\\\")).decode(errors="backslashreplace")


def path_of(name: str, dataset_dir: Path) -> Path:
    """The file that `relative_name` has named, whatever links are on the way to the dataset folder."""
    raw = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", name.encode())
    return Path(os.path.normpath(dataset_dir / os.fsdecode(raw)))


def _settled(file: Path) -> os.stat_result:
    """The state of a file, once any later change must show in its modification time."""
    about = file.stat()
    tick = _TICKS_NS[0] if about.st_mtime_ns % 10**9 == 0 else _TICKS_NS[1]
    age = time.time_ns() - about.st_mtime_ns
    if 0 <= age < tick:
        time.sleep((tick - age) / 1e9)
        about = file.stat()
    return about
