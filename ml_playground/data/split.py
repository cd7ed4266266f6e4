"""Training and validation text: a deterministic split of a text that is too large to hold.

Both ways look through the text once when they are made, and stream it again each time their parts are asked for.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ml_playground.errors import DataError

_ADD_TEXT = "Add text, or change [prepare] val_fraction."

Side = Literal["train", "val"]
FileText = Callable[[], Iterator[tuple[int, str]]]
"""Each call streams the whole text in pieces, each with the number of its file, which do not go down."""


class PositionSplit:
    """The first part for training and the rest for validation, cut between characters as nanoGPT does.

    Attributes:
        unseen: files of which training gets nothing, each with its share of the validation text.
    """

    def __init__(self, text: FileText, val_fraction: float, *, each_file: bool = False) -> None:
        """Cut the text, or each of its files where `each_file` is set. Raises DataError if a side gets nothing."""
        self._text = text
        lengths: dict[int, int] = {}
        for file, piece in text():
            lengths[file] = lengths.get(file, 0) + len(piece)
        self._each_file = each_file
        self._cuts = {file: int(length * (1 - val_fraction)) for file, length in lengths.items()}
        if not each_file:
            left = int(sum(lengths.values()) * (1 - val_fraction))
            for file, length in lengths.items():
                self._cuts[file] = min(left, length)
                left -= self._cuts[file]
        train = sum(self._cuts.values())
        validation = sum(lengths.values()) - train
        _require_both(train, validation, "characters")
        self.unseen = {file: lengths[file] / validation for file, cut in self._cuts.items() if not cut}

    def texts(self) -> Iterator[str]:
        """All text that has a side."""
        return (piece for _, piece in self._sided())

    def parts(self, cut_anew: Callable[[Iterable[str]], Iterable[str]] = iter) -> Iterator[tuple[Side, list[str]]]:
        """Pieces of the text, each with its side. `cut_anew` cuts each side's into those that can be encoded apart."""
        for side, pieces in groupby(self._sided(), key=itemgetter(0)):
            for piece in cut_anew(text for _, text in pieces):
                yield side, [piece]

    def _sided(self) -> Iterator[tuple[Side, str]]:
        last: dict[Side, tuple[int, str]] = {}  # the file and the character that a side ends with so far
        file, left = -1, 0
        for index, piece in self._text():
            if index != file:
                file, left = index, self._cuts[index]
            sides: tuple[tuple[Side, str], ...] = (("train", piece[:left]), ("val", piece[left:]))
            for side, text in sides:
                if not text:
                    continue
                before, end = last.get(side, (index, "\n"))
                if self._each_file and before != index and "\n" not in (end, text[0]):
                    yield side, "\n"  # where a file was cut within a line
                yield side, text
                last[side] = (index, text[-1])
            left = max(0, left - len(piece))


D = TypeVar("D")
Documents = Callable[[], Iterator[Sequence[D]]]  # each call streams them all, some at a time


class DocumentSplit(Generic[D]):
    """Whole documents to either side, each side in its old order.

    The documents with the smallest hashes go to validation, so that neither order nor neighbours decide, and one that
    stands twice in the text is on one side only.
    """

    def __init__(
        self,
        documents: Documents[D],
        val_fraction: float,
        *,
        text_of: Callable[[D], str],
        unit: str,
        advice: str = _ADD_TEXT,
    ) -> None:
        """Raises DataError if a side gets nothing: there are too few of `unit`, and `advice` says what to do."""
        self._documents = documents
        self._text_of = text_of
        different = _distinct(map(self._ranks, documents()))
        validation = math.ceil(len(different) * val_fraction)
        _require_both(len(different) - validation, validation, unit, advice)
        self._highest = different[validation - 1]

    def texts(self) -> Iterator[str]:
        """All text that has a side."""
        return ("".join(map(self._text_of, documents)) for documents in self._documents())

    def parts(self, _cut_anew: object = None) -> Iterator[tuple[Side, list[D]]]:
        """Some documents at a time, each time with their side; none is cut."""
        for documents in self._documents():
            is_validation: list[bool] = (self._ranks(documents) <= self._highest).tolist()
            sides: dict[Side, list[D]] = {"train": [], "val": []}
            for document, validation in zip(documents, is_validation, strict=True):
                sides["val" if validation else "train"].append(document)
            yield from sides.items()

    def _ranks(self, documents: Sequence[D]) -> "Ranks":
        """The first eight bytes of each document's hash."""
        digests = (hashlib.sha256(self._text_of(document).encode()).digest()[:8] for document in documents)
        return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


Ranks = npt.NDArray[np.uint64]


def _distinct(some_ranks: Iterable[Ranks]) -> Ranks:
    """All ranks in their order, each once; takes less than 20 bytes of memory for a document."""
    memory = bytearray()
    for ranks in some_ranks:
        memory += ranks.tobytes()
    ranks = np.frombuffer(memory, dtype=np.uint64)
    ranks.sort()
    is_new = np.ones(len(ranks), dtype=np.bool_)
    is_new[1:] = ranks[1:] != ranks[:-1]
    return ranks[is_new]


def _require_both(train: int, validation: int, unit: str, advice: str = _ADD_TEXT) -> None:
    if not train or not validation:
        raise DataError(
            f"too little text to split ({train + validation:,} {unit}): training and validation need some each. "
            f"{advice}"
        )
