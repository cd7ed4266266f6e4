"""Documents to token ids in their bytes on disk."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np

from ml_playground.data.manifest import SplitInfo
from ml_playground.data.split import Side
from ml_playground.data.tokenizers import Ids, Tokenizer
from ml_playground.files import atomic_write

T = TypeVar("T")


class Encoded(NamedTuple):
    """Some documents as ids in their bytes on disk, how much they were, and their lines of JSON if they have any."""

    ids: bytes
    tokens: int
    documents: int
    utf8_bytes: int
    rows: bytes = b""


def encode(
    documents: Sequence[str],
    *,
    tokenizer: Tokenizer,
    dtype: np.dtype[np.unsignedinteger],
    separator: Ids | None = None,
    without_marks: Callable[[str], str] = str,
) -> Encoded:
    """Documents in a row, each behind the start token if there is one, and before the separator if there is one."""
    start = [] if tokenizer.start_id is None else [np.array([tokenizer.start_id])]
    end = [] if separator is None else [separator]
    parts = [ids for document in documents for ids in (*start, tokenizer.encode(document), *end)]
    ids = np.concatenate([np.empty(0, dtype), *parts], dtype=dtype, casting="unsafe")
    utf8_bytes = sum(len(without_marks(document).encode()) for document in documents)
    return Encoded(ids.tobytes(), len(ids), len(documents), utf8_bytes)


class SideFiles:
    """One side as it is written: its tokens, and its documents as lines of JSON where that is wanted.

    The files take their places when `stack` is closed.
    """

    def __init__(self, stack: ExitStack, token_file: Path, document_file: Path | None) -> None:
        self._tokens_file: BinaryIO = stack.enter_context(atomic_write(token_file))
        self._rows_file = None if document_file is None else stack.enter_context(atomic_write(document_file))
        self._hash = hashlib.sha256()
        self._tokens = self._documents = self._bytes = 0

    def add(self, encoded: Encoded) -> None:
        """Write some documents."""
        self._tokens_file.write(encoded.ids)
        if self._rows_file is not None:
            self._rows_file.write(encoded.rows)
        self._hash.update(encoded.ids)
        self._tokens += encoded.tokens
        self._documents += encoded.documents
        self._bytes += encoded.utf8_bytes

    def info(self, *, is_running_text: bool) -> SplitInfo:
        """What was written, all of which is on its way to the disk."""
        self._tokens_file.flush()
        return SplitInfo(
            tokens=self._tokens,
            documents=1 if is_running_text else self._documents,
            bytes=self._bytes,
            sha256=self._hash.hexdigest(),
        )


def in_parallel(
    encode: Callable[[list[T]], Encoded], parts: Iterable[tuple[Side, list[T]]]
) -> Iterator[tuple[Side, Encoded]]:
    """Encode parts in threads, as tokenizers work outside Python's lock; in their order, and only some in memory."""
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
