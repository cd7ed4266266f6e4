"""From documents to token ids, as bytes for the disk."""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ml_playground.data.document import Document, Structure
from ml_playground.data.manifest import SplitInfo
from ml_playground.data.split import Side
from ml_playground.data.tokenizers.base import Ids, Tokenizer
from ml_playground.errors import DataError, PromptError
from ml_playground.utils.files import atomic_write

_SHOWN = 60  # characters of a text shown in a message


class Encoded(NamedTuple):
    """Documents as the bytes of their ids, with counts, and their lines of JSON if wanted.

    Attributes:
        raw_bytes: those of the raw text in UTF-8.
        lost: characters that no token represents.
    """

    ids: bytes
    tokens: int
    documents: int
    characters: int
    raw_bytes: int
    lost: Counter[str]
    rows: bytes = b""


def encode(
    documents: Sequence[Document],
    *,
    tokenizer: Tokenizer,
    dtype: np.dtype[np.unsignedinteger],
    structure: Structure,
    separator: Ids | None = None,
    with_rows: bool = False,
) -> Encoded:
    """Encode documents, each preceded by the start token and followed by the separator, as far as there are any.

    Args:
        documents: what to encode.
        tokenizer: makes their tokens.
        dtype: of the ids.
        structure: the tokens around them.
        separator: ids that end each document.
        with_rows: whether to make their lines of JSON.

    Raises:
        DataError: the tokenizer cannot take a text.
    """
    start = [] if tokenizer.start_id is None else [np.array([tokenizer.start_id])]
    end = [] if separator is None else [separator]
    parts: list[Ids] = []
    lost = Counter[str]()
    characters = raw_bytes = 0
    for document in documents:
        text = structure.wrapped(document)
        try:
            ids = tokenizer.encode(text)
        except PromptError as error:
            raise DataError(f"{error}: the text {_shortened(text)!r}") from error
        parts += [*start, ids, *end]
        characters += len(structure.stripped(text))
        raw_bytes += structure.raw_bytes(document)
        lost.update(tokenizer.lost(text, ids))
    packed = np.concatenate([np.empty(0, dtype), *parts], dtype=dtype, casting="unsafe")
    rows = b"".join(map(structure.row, documents)) if with_rows else b""
    return Encoded(packed.tobytes(), len(packed), len(documents), characters, raw_bytes, lost, rows)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


class SideFiles:
    """The files of one split while they are written: its tokens, and its documents as lines of JSON if wanted.

    The files appear when `stack` is closed.

    Attributes:
        written: the counts so far, without the bytes.
    """

    def __init__(self, stack: ExitStack, token_file: Path, document_file: Path | None) -> None:
        self._tokens_file: BinaryIO = stack.enter_context(atomic_write(token_file))
        self._rows_file = None if document_file is None else stack.enter_context(atomic_write(document_file))
        self._hash, self._rows_hash = hashlib.sha256(), hashlib.sha256()
        self.written = Encoded(b"", 0, 0, 0, 0, Counter())

    def add(self, encoded: Encoded) -> None:
        """Write some documents."""
        self._tokens_file.write(encoded.ids)
        self._hash.update(encoded.ids)
        if self._rows_file is not None:
            self._rows_file.write(encoded.rows)
            self._rows_hash.update(encoded.rows)
        before = self.written
        self.written = Encoded(
            b"",
            before.tokens + encoded.tokens,
            before.documents + encoded.documents,
            before.characters + encoded.characters,
            before.raw_bytes + encoded.raw_bytes,
            before.lost + encoded.lost,
        )

    def info(self, *, is_running_text: bool, added: int) -> SplitInfo:
        """The counts of what was written; `added` bytes of it are not in the raw text."""
        self._tokens_file.flush()
        if self._rows_file is not None:
            self._rows_file.flush()
        return SplitInfo(
            tokens=self.written.tokens,
            documents=1 if is_running_text else self.written.documents,
            bytes=self.written.raw_bytes - added,
            sha256=self._hash.hexdigest(),
            documents_sha256=None if self._rows_file is None else self._rows_hash.hexdigest(),
        )


def in_parallel(
    encode: Callable[[list[Document]], Encoded], parts: Iterable[tuple[Side, list[Document]]]
) -> Iterator[tuple[Side, Encoded]]:
    """Encode parts in threads, in order, with a few in memory at a time: tokenizers release Python's lock."""
    workers = os.cpu_count() or 1
    under_way: deque[tuple[Side, Future[Encoded]]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        for side, documents in parts:
            under_way.append((side, threads.submit(encode, documents)))
            if len(under_way) > 2 * workers:
                done_side, done = under_way.popleft()
                yield done_side, done.result()
        for side, last in under_way:
            yield side, last.result()
