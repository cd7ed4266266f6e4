"""The work that all preparers share: files of text in, token files and a manifest out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from ml_playground.config.files import shown
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.manifest import (
    FORMAT,
    Manifest,
    Source,
    SplitInfo,
    differences,
    manifest_path,
    read_manifest,
    relative_name,
    settings_of,
    sha256_of,
)
from ml_playground.data.sources import read_text
from ml_playground.data.split import split_by_document, split_by_position
from ml_playground.data.store import token_dtype, token_file
from ml_playground.data.tokenizers import CharTokenizer, Ids, TiktokenTokenizer, Tokenizer
from ml_playground.errors import DataError
from ml_playground.files import atomic_write, json_text


def prepare_texts(files: Sequence[Path], config: PrepareConfig) -> Manifest:
    """Make `train.bin`, `val.bin` and `meta.json` from text files, unless exactly that is there already.

    Args:
        files: the raw text, in the order in which it is joined.
        config: the `[prepare]` section.

    Raises:
        DataError: a file does not decode, or there is too little text to split.
    """
    manifest = _up_to_date(files, config)
    if manifest is not None:
        print(f"{shown(config.dataset_dir)}: up to date, nothing to do")
        return manifest
    config.dataset_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(config.dataset_dir / "prepare.lock"):  # a second process waits
        sources, text = _read(files, config)
        train, val = _split(text, config)
        manifest = _write(train, val, sources, config)
    print(
        f"wrote {shown(config.dataset_dir)}: {manifest.train.tokens:,} training and {manifest.val.tokens:,} "
        f"validation tokens, vocabulary of {manifest.vocab_size:,}"
    )
    return manifest


def _read(files: Sequence[Path], config: PrepareConfig) -> tuple[list[Source], str]:
    """All files as one text, and what they were."""
    texts: list[str] = []
    sources: list[Source] = []
    for file in files:
        text, encoding = read_text(file, config.encoding)
        texts.append(text)
        name = relative_name(file, config.dataset_dir)
        sources.append(Source(path=name, bytes=file.stat().st_size, sha256=sha256_of(file), encoding=encoding))
        print(f"read {shown(file)} ({encoding}, {len(text):,} characters)")
    return sources, _join(texts)


def _write(train: Sequence[str], val: Sequence[str], sources: list[Source], config: PrepareConfig) -> Manifest:
    """Encode both sides and write them with their manifest."""
    tokenizer = _tokenizer([*train, *val], config)
    dtype = token_dtype(tokenizer.vocab_size)
    # The files take their places at the end of the block, when there is room for all three; the manifest does so last,
    # and while it has not, the old one does not fit.
    with (
        atomic_write(manifest_path(config.dataset_dir)) as manifest_file,
        atomic_write(token_file(config.dataset_dir, "train")) as train_file,
        atomic_write(token_file(config.dataset_dir, "val")) as val_file,
    ):
        manifest = Manifest(
            format=FORMAT,
            settings=settings_of(config),
            sources=sources,
            tokenizer=tokenizer.describe(),
            vocab_size=tokenizer.vocab_size,
            dtype=dtype.name,
            train=_write_split(train_file, train, tokenizer, dtype),
            val=_write_split(val_file, val, tokenizer, dtype),
        )
        manifest_file.write(json_text(manifest.model_dump()))
        manifest_file.flush()
    return manifest


def _up_to_date(files: Sequence[Path], config: PrepareConfig) -> Manifest | None:
    """The manifest, if sources, settings and token files all are what it says."""
    try:
        manifest = read_manifest(config.dataset_dir)
    except DataError as error:
        print(f"preparing again: {error}")
        return None
    if manifest is None:
        return None
    stale = differences(manifest, config, files)
    for name, split in (("train", manifest.train), ("val", manifest.val)):
        path = token_file(config.dataset_dir, name)
        if not path.is_file() or sha256_of(path) != split.sha256:
            stale.append(f"{path.name} is missing or damaged")
    if stale:
        print(f"preparing again: {'; '.join(stale)}")
    return None if stale else manifest


def _join(texts: Sequence[str]) -> str:
    """One text of all files; a file that does not end its last line gets a line end before the next."""
    return "".join(
        text if text.endswith("\n") or index == len(texts) - 1 else text + "\n" for index, text in enumerate(texts)
    )


def _split(text: str, config: PrepareConfig) -> tuple[list[str], list[str]]:
    """Training and validation documents; a whole text is one document on either side."""
    if config.documents == "lines":
        train, val = split_by_document([line for line in text.split("\n") if line.strip()], config.val_fraction)
    else:
        train, val = ([part] if part else [] for part in split_by_position(text, config.val_fraction))
    if not train or not val:
        raise DataError(
            f"too little text to split ({len(text):,} characters): training and validation need some each. "
            "Add text, or change [prepare] val_fraction."
        )
    return train, val


def _tokenizer(documents: Sequence[str], config: PrepareConfig) -> Tokenizer:
    start_token = config.documents == "lines"
    if config.tokenizer == "char":
        return CharTokenizer.of_text("".join(documents), start_token=start_token)
    return TiktokenTokenizer(config.tokenizer, start_token=start_token)


def _write_split(
    file: BinaryIO, documents: Sequence[str], tokenizer: Tokenizer, dtype: np.dtype[np.unsignedinteger]
) -> SplitInfo:
    """Encode documents, each behind the start token if there is one, and write them in a row."""
    start: list[Ids] = [] if tokenizer.start_id is None else [np.array([tokenizer.start_id])]
    ids = np.concatenate([part for document in documents for part in (*start, tokenizer.encode(document))])
    raw = ids.astype(dtype).tobytes()
    file.write(raw)
    file.flush()
    return SplitInfo(
        tokens=len(ids),
        documents=len(documents),
        bytes=sum(len(document.encode()) for document in documents),
        sha256=hashlib.sha256(raw).hexdigest(),
    )
