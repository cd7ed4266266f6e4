"""A deterministic split into training and validation text, of text that may not fit into memory.

Each kind reads the text once when it is made, and streams it again each time its parts are asked for.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Literal

import numpy as np
import numpy.typing as npt

from ml_playground.data.document import Document
from ml_playground.data.splits import Pieces, PlainText, SomeDocuments
from ml_playground.data.text import joined
from ml_playground.errors import TooLittleTextError

_ADD_TEXT = "Add text, or change [prepare.split]."
_ADD_DOCUMENTS = "Add documents, or change [prepare.split]."

Side = Literal["train", "val"]
SIDES: tuple[Side, ...] = ("train", "val")


class Split(ABC):
    """Text with the split that each piece belongs to.

    Attributes:
        unseen: files of which training gets nothing, each with its share of the validation text.
        added: how many characters, all of them line ends, each side has beyond the raw text, once its parts are read.
    """

    def __init__(self) -> None:
        self.unseen: dict[int, float] = {}
        self.added = Counter[Side]()

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """All text that has a side, without tags."""

    @abstractmethod
    def parts(self, rechunk: Callable[[Iterable[str]], Iterable[str]] = iter) -> Iterator[tuple[Side, list[Document]]]:
        """Some documents at a time, or pieces of running text as documents, each time with their side.

        `rechunk` cuts the running text of a side into pieces that can be encoded apart.
        """


class PositionSplit(Split):
    """The first part for training and the rest for validation, cut between characters as nanoGPT does."""

    def __init__(self, text: Pieces, val_fraction: float, *, each_file: bool = False) -> None:
        """Cut the text, or each file of it if `each_file` is set. Raises TooLittleTextError if a side gets nothing."""
        super().__init__()
        self._text = text
        lengths: dict[int, int] = {}
        for file, piece, _ in joined(text()):
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
        """See `Split`."""
        return (piece for _, piece in self._sided())

    def parts(self, rechunk: Callable[[Iterable[str]], Iterable[str]] = iter) -> Iterator[tuple[Side, list[Document]]]:
        """See `Split`."""
        for side, pieces in groupby(self._sided(), key=itemgetter(0)):
            for piece in rechunk(text for _, text in pieces):
                yield side, [Document(piece)]

    def _sided(self) -> Iterator[tuple[Side, str]]:
        last: dict[Side, tuple[int, str]] = {}  # the file and the character that a side ends with so far
        file, left = -1, 0
        self.added.clear()
        for index, piece, was_added in joined(self._text()):
            if index != file:
                file, left = index, self._cuts[index]
            sides: tuple[tuple[Side, str], ...] = (("train", piece[:left]), ("val", piece[left:]))
            for side, text in sides:
                if not text:
                    continue
                before, end = last.get(side, (index, "\n"))
                if self._each_file and before != index and "\n" not in (end, text[0]):
                    self.added[side] += 1
                    yield side, "\n"  # where a file was cut within a line
                self.added[side] += was_added
                yield side, text
                last[side] = (index, text[-1])
            left = max(0, left - len(piece))


class DocumentSplit(Split):
    """Whole documents to either side, each side in its old order."""

    def __init__(self, documents: SomeDocuments, plain: PlainText, is_validation: Callable[[Document], bool]) -> None:
        """Raises TooLittleTextError if a side gets nothing."""
        super().__init__()
        self._documents = documents
        self._plain = plain
        self._is_validation = is_validation
        counts = Counter(side for some in documents() for side in self._sides(some))
        _require_both(counts["train"], counts["val"], "documents", _ADD_DOCUMENTS)

    def texts(self) -> Iterator[str]:
        """See `Split`."""
        return ("".join(map(self._plain, documents)) for documents in self._documents())

    def parts(
        self,
        rechunk: Callable[[Iterable[str]], Iterable[str]] = iter,  # noqa: ARG002 -- no document is cut
    ) -> Iterator[tuple[Side, list[Document]]]:
        """See `Split`."""
        for documents in self._documents():
            sides: dict[Side, list[Document]] = {"train": [], "val": []}
            for document, side in zip(documents, self._sides(documents), strict=True):
                sides[side].append(document)
            yield from sides.items()

    def _sides(self, documents: Sequence[Document]) -> list[Side]:
        return ["val" if self._is_validation(document) else "train" for document in documents]


class HashSplit(DocumentSplit):
    """The documents with the smallest hashes go to validation.

    So the order does not matter, and a document that occurs twice is in one split only.
    """

    def __init__(self, documents: SomeDocuments, plain: PlainText, val_fraction: float) -> None:
        """Raises TooLittleTextError if a side gets nothing: there are too few different documents."""
        Split.__init__(self)  # which document goes where is only known once all have been seen
        self._documents = documents
        self._plain = plain
        different = _distinct(map(self._ranks, documents()))
        validation = math.ceil(len(different) * val_fraction)
        _require_both(len(different) - validation, validation, "different documents", _ADD_DOCUMENTS)
        self._highest = different[validation - 1]

    def _sides(self, documents: Sequence[Document]) -> list[Side]:
        is_validation: list[bool] = (self._ranks(documents) <= self._highest).tolist()
        return ["val" if each else "train" for each in is_validation]

    def _ranks(self, documents: Sequence[Document]) -> "Ranks":
        """The first eight bytes of each document's hash."""
        digests = (hashlib.sha256(self._plain(document).encode()).digest()[:8] for document in documents)
        return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


Ranks = npt.NDArray[np.uint64]


def _distinct(some_ranks: Iterable[Ranks]) -> Ranks:
    """All ranks in order, without duplicates, in less than 20 bytes of memory per document."""
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
        raise TooLittleTextError(
            f"too little text to split ({train + validation:,} {unit}): training and validation need some each. "
            f"{advice}"
        )
