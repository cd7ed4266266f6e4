"""The kinds of split, with their options; what they make is in `data/split.py`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from ml_playground.config.sections import PrepareConfig, SplitConfig

if TYPE_CHECKING:
    from ml_playground.data.document import Document
    from ml_playground.data.split import DocumentSplit, PositionSplit

Pieces = Callable[[], Iterator[tuple[int, str]]]
"""Each call streams running text in pieces, each with the number of its file, which do not go down."""
SomeDocuments = Callable[[], "Iterator[list[Document]]"]
"""Each call streams all documents, some at a time."""
PlainText = Callable[["Document"], str]
"""The text of a document without tags."""


class SplitOptions(SplitConfig):
    """What validation gets. The kinds are in `ml_playground/data/splits.py`."""

    @property
    def share(self) -> float | None:
        """The share of the text that validation should about get, if that is known before."""
        return None


class TextSplit(SplitOptions):
    """A split of running text."""

    def build(self, text: Pieces) -> "PositionSplit":
        """The text, split. Raises DataError if a side gets nothing."""
        raise NotImplementedError


class DocumentsSplit(SplitOptions):
    """A split of whole documents. A kind says of each which side it goes to."""

    splits_documents = True

    def build(self, documents: SomeDocuments, plain: PlainText) -> "DocumentSplit":
        """The documents, split. Raises DataError if a side gets nothing."""
        from ml_playground.data.split import DocumentSplit

        return DocumentSplit(documents, plain, self.is_validation)

    def is_validation(self, document: "Document") -> bool:
        """Whether a document is for validation."""
        raise NotImplementedError


class _Share(SplitOptions):
    val_fraction: float = Field(0.1, gt=0, lt=1, description="share of the text kept for validation")

    @property
    def share(self) -> float:
        """See `SplitOptions`."""
        return self.val_fraction


class Position(_Share, TextSplit):
    """The end of the whole text."""

    def build(self, text: Pieces) -> "PositionSplit":
        """See `TextSplit`."""
        from ml_playground.data.split import PositionSplit

        return PositionSplit(text, self.val_fraction)


class Files(_Share, TextSplit):
    """The end of each file, so that no file is seen in validation alone."""

    def build(self, text: Pieces) -> "PositionSplit":
        """See `TextSplit`."""
        from ml_playground.data.split import PositionSplit

        return PositionSplit(text, self.val_fraction, each_file=True)


class Hash(_Share, DocumentsSplit):
    """The documents with the smallest hashes: always the same ones, whatever is around them."""

    def build(self, documents: SomeDocuments, plain: PlainText) -> "DocumentSplit":
        """See `DocumentsSplit`."""
        from ml_playground.data.split import HashSplit

        return HashSplit(documents, plain, self.val_fraction)


def split_of(config: PrepareConfig) -> SplitOptions:
    """The kind of split that a configuration names."""
    assert isinstance(config.split, SplitOptions)  # as all in the registry are
    return config.split
