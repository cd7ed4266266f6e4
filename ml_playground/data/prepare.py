"""The work that all preparers share: files of text in, token files and a manifest out.

The text streams several times: to find its encoding, its split and its characters, and to be encoded, by as many
threads as there are processors.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ml_playground.config.files import shown
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.fast_tokenizer import tokenizer_of_model
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
from ml_playground.data.split import DocumentSplit, PositionSplit, Side
from ml_playground.data.store import token_dtype, token_file
from ml_playground.data.text import TextFile, joined
from ml_playground.data.tokenizers import CharTokenizer, TiktokenTokenizer, Tokenizer
from ml_playground.errors import DataError
from ml_playground.files import atomic_write, json_text

Split = PositionSplit | DocumentSplit

_SAMPLE = 2**16  # characters


def prepare_texts(files: Sequence[Path], config: PrepareConfig) -> Manifest:
    """Make `train.bin`, `val.bin` and `meta.json` from text files, unless exactly that is there already.

    Args:
        files: the raw text, in the order in which it is joined.
        config: the `[prepare]` section.

    Raises:
        DataError: a file does not decode, or there is too little text to split.
    """
    config.dataset_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(config.dataset_dir / "prepare.lock"):  # a second process waits, and finds it done
        manifest = _up_to_date(files, config)
        if manifest is not None:
            print(f"{shown(config.dataset_dir)}: up to date, nothing to do")
            return manifest
        texts, sources = _find(files, config)
        stream = partial(_stream, texts, count(1))
        split = (DocumentSplit if config.documents == "lines" else PositionSplit)(stream, config.val_fraction)
        manifest = _write(split, _tokenizer(split, config), sources, config)
    print(
        f"wrote {shown(config.dataset_dir)}: {manifest.train.tokens:,} training and {manifest.val.tokens:,} "
        f"validation tokens, vocabulary of {manifest.vocab_size:,}"
    )
    return manifest


def _find(files: Sequence[Path], config: PrepareConfig) -> tuple[list[TextFile], list[Source]]:
    """The files in their encodings, and what the manifest says of them."""
    texts: list[TextFile] = []
    sources: list[Source] = []
    for file in files:
        text, size = TextFile.find(file, config.encoding), file.stat().st_size
        texts.append(text)
        name = relative_name(file, config.dataset_dir)
        sources.append(Source(path=name, bytes=size, sha256=sha256_of(file), encoding=text.encoding))
        print(f"reading {shown(file)} ({text.encoding}, {size:,} bytes)")
    return texts, sources


def _stream(texts: Sequence[TextFile], passes: Iterator[int]) -> Iterator[str]:
    """The text in pieces, and on a terminal how far it is read for the how manieth time."""
    size = sum(text.path.stat().st_size for text in texts)
    label = f"pass {next(passes)}"
    with tqdm(desc=label, total=size, unit="B", unit_scale=True, dynamic_ncols=True, leave=False, disable=None) as bar:
        yield from joined(texts, on_read=bar.update)


def _tokenizer(split: Split, config: PrepareConfig) -> Tokenizer:
    start_token = config.documents == "lines"
    if config.tokenizer == "char":
        return CharTokenizer.of_text(split.texts(), start_token=start_token)
    if config.tokenizer == "huggingface":
        assert config.tokenizer_from is not None  # the configuration is refused otherwise
        tokenizer = tokenizer_of_model(config.tokenizer_from, start_token=start_token)
        _tell_of_lost_bytes(tokenizer, next(iter(split.texts()), "")[:_SAMPLE])
        return tokenizer
    return TiktokenTokenizer(config.tokenizer, start_token=start_token)


def _tell_of_lost_bytes(tokenizer: Tokenizer, sample: str) -> None:
    """Warn where tokens do not stand for all of a text and for nothing else: their loss per byte is of another text."""
    there, kept = len(sample.encode()), int(tokenizer.byte_lengths()[tokenizer.encode(sample)].sum())
    if there != kept:
        print(f"! of the text's first {there:,} bytes its tokens stand for {kept:,}: bits per byte will be off as much")


def _write(split: Split, tokenizer: Tokenizer, sources: list[Source], config: PrepareConfig) -> Manifest:
    """Encode both sides and write them with their manifest."""
    dtype = token_dtype(tokenizer.vocab_size)
    # The files take their places at the end of the block, when there is room for all three; the manifest does so last,
    # and while it has not, the old one does not fit.
    with (
        atomic_write(manifest_path(config.dataset_dir)) as manifest_file,
        atomic_write(token_file(config.dataset_dir, "train")) as train_file,
        atomic_write(token_file(config.dataset_dir, "val")) as val_file,
    ):
        sides = {"train": _TokenFile(train_file), "val": _TokenFile(val_file)}
        encode = partial(_encode, tokenizer=tokenizer, dtype=dtype)
        for side, encoded in _in_parallel(encode, split.parts(tokenizer.separable)):
            sides[side].add(encoded)
        manifest = Manifest(
            format=FORMAT,
            settings=settings_of(config),
            sources=sources,
            tokenizer=tokenizer.describe(),
            vocab_size=tokenizer.vocab_size,
            dtype=dtype.name,
            train=sides["train"].info(),
            val=sides["val"].info(),
        )
        manifest_file.write(json_text(manifest.model_dump()))
        manifest_file.flush()
    return manifest


class _Encoded(NamedTuple):
    """Some text as ids in their bytes on disk, and how much it was."""

    ids: bytes
    tokens: int
    starts: int
    utf8_bytes: int


def _encode(documents: Sequence[str], *, tokenizer: Tokenizer, dtype: np.dtype[np.unsignedinteger]) -> _Encoded:
    """Documents in a row, each behind the start token if there is one."""
    start = [] if tokenizer.start_id is None else [np.array([tokenizer.start_id])]
    parts = [ids for document in documents for ids in (*start, tokenizer.encode(document))]
    ids = np.concatenate([np.empty(0, dtype), *parts], dtype=dtype, casting="unsafe")
    return _Encoded(
        ids.tobytes(), len(ids), len(start) * len(documents), sum(len(document.encode()) for document in documents)
    )


class _TokenFile:
    """One side as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._tokens = self._starts = self._bytes = 0

    def add(self, encoded: _Encoded) -> None:
        self._file.write(encoded.ids)
        self._hash.update(encoded.ids)
        self._tokens += encoded.tokens
        self._starts += encoded.starts
        self._bytes += encoded.utf8_bytes

    def info(self) -> SplitInfo:
        """What was written, all of which is on its way to the disk."""
        self._file.flush()
        documents = max(1, self._starts)  # a running text is one, and has no start token
        return SplitInfo(tokens=self._tokens, documents=documents, bytes=self._bytes, sha256=self._hash.hexdigest())


def _in_parallel(
    encode: Callable[[list[str]], _Encoded], parts: Iterable[tuple[Side, list[str]]]
) -> Iterator[tuple[Side, _Encoded]]:
    """Encode parts in threads, as tokenizers work outside Python's lock; in their order, and only some in memory."""
    workers = os.cpu_count() or 1
    under_way: deque[tuple[Side, Future[_Encoded]]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        for side, documents in parts:
            under_way.append((side, threads.submit(encode, documents)))
            if len(under_way) > 2 * workers:
                done_side, done = under_way.popleft()
                yield done_side, done.result()
        for side, last in under_way:
            yield side, last.result()


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
