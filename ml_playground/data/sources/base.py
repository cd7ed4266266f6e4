"""The interface of a source: the files that it reads, and the text or documents in them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

from ml_playground.config.sections import Packing, PrepareConfig, SourceConfig

if TYPE_CHECKING:
    from ml_playground.data.document import Document
    from ml_playground.data.text import TextFile

OnRead = Callable[[int], object]
"""Called with the number of bytes read since its last call."""


class Source(SourceConfig):
    """Where text comes from, and what counts as a document. The kinds are in `ml_playground/data/sources/`."""

    # What a kind states if it differs from running text in .txt files, beside what `SourceConfig` has.
    one_file: ClassVar[bool] = False
    wrapping: ClassVar[tuple[str, str]] = ("<text>", "</text>")

    def columns(self, file: "TextFile") -> dict[str, str]:  # noqa: ARG002 -- of sources that have some
        """What columns a table has: what they hold, each with its name. Raises DataError if it is no such table."""
        return {}


class RunningText(Source):
    """A source of running text, which is split by position."""

    def pieces(self, file: "TextFile", on_read: OnRead) -> Iterator[str]:
        r"""The text of a file in pieces of any size, none of them empty, with `\n` as line ends."""
        return file.pieces(on_read)


class Documents(Source):
    """A source of documents, which are split whole."""

    packing: ClassVar[Packing] = "ended"
    default_split = "hash"
    more_documents: ClassVar[str] = ""  # how its files could be read as more of them, for a message

    def documents(self, file: "TextFile", config: PrepareConfig, on_read: OnRead) -> "Iterator[Document]":
        """The documents of a file, in their order. It is called several times.

        Args:
            file: one of those that it reads.
            config: the `[prepare]` section.
            on_read: see `OnRead`.
        """
        raise NotImplementedError


def source_of(config: PrepareConfig) -> Source:
    """The source that a configuration names."""
    assert isinstance(config.source, Source)  # as all in the registry are
    return config.source
