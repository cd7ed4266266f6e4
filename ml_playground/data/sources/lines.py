"""Lines of text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.sources.base import Documents, OnRead

if TYPE_CHECKING:
    from ml_playground.data.document import Document
    from ml_playground.data.text import TextFile


class Lines(Documents):
    """Each line of `.txt` files that is not blank is a document after a start token."""

    packing = "started"

    def documents(
        self,
        file: "TextFile",
        config: PrepareConfig,  # noqa: ARG002 -- of other kinds
        on_read: OnRead,
    ) -> "Iterator[Document]":
        """See `Documents`. The bytes of line ends and blank lines count toward the line before."""
        from ml_playground.data.document import Document
        from ml_playground.data.text import whole_lines

        line, size = "", 0  # the last line that is not blank, and the bytes since its beginning
        for some in whole_lines(file.pieces(on_read)):
            for each in some:
                if line and each.strip():
                    yield Document(line.removesuffix("\n"), raw_bytes=size)
                    size = 0
                if each.strip():
                    line = each
                size += len(each.encode())
        if line:
            yield Document(line.removesuffix("\n"), raw_bytes=size)
