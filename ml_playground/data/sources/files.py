"""Files as documents."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.sources.base import Documents, OnRead

if TYPE_CHECKING:
    from ml_playground.data.document import Document
    from ml_playground.data.text import TextFile


class Files(Documents):
    """Each `.txt` file is a document, or as many as `doc_separator` stands between."""

    more_documents = (
        "Or set [prepare] doc_separator to what is between the documents of a text file, "
        r'such as "\n\n".'
    )

    def documents(self, file: "TextFile", config: PrepareConfig, on_read: OnRead) -> "Iterator[Document]":
        """See `Documents`. Blank ones are skipped; their bytes and separators count toward the document before."""
        from ml_playground.data.document import Document, Structure

        text, structure = "".join(file.pieces(on_read)), Structure.of(config)
        separator = config.doc_separator
        found, size = "", 0  # the last document that is not blank, and the bytes since its beginning
        parts = text.split(separator) if separator else [text]
        for index, part in enumerate(parts):
            if stripped := structure.stripped(part).strip():
                if found:
                    yield Document(found, raw_bytes=size)
                    size = 0
                found = stripped
            size += len(part.encode())
            if separator and index < len(parts) - 1:
                size += len(separator.encode())
        if found:
            yield Document(found, raw_bytes=size)
