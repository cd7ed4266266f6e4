"""Prepared data on disk: `train.bin` and `val.bin`, token ids in a row, as nanoGPT reads them too."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.manifest import Manifest, SplitInfo, differences, read_manifest
from ml_playground.data.tokenizers.base import TOKENIZER_FILES, Tokenizer
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.errors import DataError
from ml_playground.utils.checksums import sha256_of

_RESIDENT = 2**28  # bytes; a larger file is memory-mapped, so that the system can drop its pages
_HASHED = 2**16  # tokens at once

Tokens = npt.NDArray[np.unsignedinteger]


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """The smallest of uint16 and uint32 that holds every id, little-endian."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def token_file(dataset_dir: Path, split: str) -> Path:
    """The token file of `train` or `val`."""
    return dataset_dir / f"{split}.bin"


def document_file(dataset_dir: Path, split: str) -> Path:
    """The documents of `train` or `val`, one JSON object per line, if the source has documents in files."""
    return dataset_dir / f"{split}.jsonl"


def tokenizer_folder(dataset_dir: Path) -> Path:
    """The folder with that data's tokenizer, for other programs."""
    return dataset_dir / "tokenizer"


def tokenizer_files(folder: Path) -> dict[str, str]:
    """The names of the files of a tokenizer that are in a folder, each with its SHA-256."""
    return {name: sha256_of(folder / name) for name in TOKENIZER_FILES if (folder / name).is_file()}


@dataclass(frozen=True)
class Dataset:
    """Prepared data, opened for training. Large token arrays are memory-mapped, others are in memory."""

    manifest: Manifest
    tokenizer: Tokenizer
    train: Tokens
    val: Tokens
    folder: Path


def open_dataset(dataset_dir: Path, config: PrepareConfig) -> Dataset:
    """Open the data in `dataset_dir` if it is what `config` describes.

    Raises:
        DataError: nothing is prepared there, or something else than `config` and the raw text say.
    """
    manifest = read_manifest(dataset_dir)
    if manifest is None:
        raise DataError(f"{dataset_dir}: no prepared data. Run 'prepare' first.")
    if stale := differences(manifest, config.model_copy(update={"dataset_dir": dataset_dir})):
        raise DataError(f"{dataset_dir}: the prepared data is stale ({'; '.join(stale)}). Run 'prepare' again.")
    folder = tokenizer_folder(dataset_dir)
    if manifest.tokenizer_files and tokenizer_files(folder) != manifest.tokenizer_files:
        raise DataError(f"{folder}: damaged, or not what 'prepare' wrote. Run 'prepare' again.")
    return Dataset(
        manifest,
        load_tokenizer(manifest.tokenizer),
        _open_tokens(token_file(dataset_dir, "train"), manifest.dtype, manifest.train),
        _open_tokens(token_file(dataset_dir, "val"), manifest.dtype, manifest.val),
        dataset_dir,
    )


def text_hash(tokens: Tokens, tokenizer: Tokenizer) -> str:
    """The SHA-256 of the text that `tokens` (N,) stand for, in UTF-8: of one text the same, whatever its tokens are."""
    digest = hashlib.sha256()
    known: dict[int, bytes] = {}
    for start in range(0, len(tokens), _HASHED):
        ids: list[int] = tokens[start : start + _HASHED].tolist()
        known |= {token: tokenizer.token_bytes(token) for token in set(ids) - known.keys()}
        digest.update(b"".join(map(known.__getitem__, ids)))
    return digest.hexdigest()


def _open_tokens(path: Path, dtype: str, split: SplitInfo) -> Tokens:
    expected = split.tokens * np.dtype(dtype).itemsize
    size = path.stat().st_size if path.is_file() else 0
    if size != expected:
        raise DataError(f"{path}: {size:,} bytes, {expected:,} expected. Run 'prepare' again.")
    if sha256_of(path) != split.sha256:
        raise DataError(f"{path}: its checksum is not that of the manifest. Run 'prepare' again.")
    little_endian = np.dtype(dtype).newbyteorder("<")
    if size <= _RESIDENT:
        return np.fromfile(path, little_endian)
    return np.memmap(path, little_endian, mode="r")
