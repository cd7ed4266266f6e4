"""Documents of one text each: files, and the speeches of a CSV table."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.marks import CHAIR, END_OF_SPEECH, FIELDS, SPEECH, marks_of, without_marks
from ml_playground.data.text import TextFile

_BATCH = 2**18  # characters handed on at once


@dataclass(frozen=True)
class Document:
    """A text, and what is known of it. Interjections that are to be marked stand between their tokens already."""

    text: str
    speaker: str | None = None
    party: str | None = None
    year: str | None = None
    topic: str | None = None
    is_chair: bool = False

    def plain(self, config: PrepareConfig) -> str:
        """The text alone, by which documents are told apart and split."""
        return without_marks(self.text, marks_of(config))

    def marked(self, config: PrepareConfig) -> str:
        """The text with the tokens for its structure that `config` asks for."""
        chair = CHAIR if self.is_chair and config.chair == "mark" else ""
        if not config.add_structure_tokens:
            return chair + self.text
        known = [(name, getattr(self, name)) for name in FIELDS]
        header = "".join(f"<{name}>{value}" for name, value in known if value)
        return f"{header}{chair}{SPEECH}{self.text}{END_OF_SPEECH}"

    def row(self, config: PrepareConfig) -> bytes:
        """A line of JSON: the text as the model learns it, and what is known of it."""
        known = {key: value for key, value in asdict(self).items() if value and key in FIELDS}
        return (json.dumps({"text": self.marked(config), **known}, ensure_ascii=False) + "\n").encode()


def text_documents(
    file: TextFile, config: PrepareConfig, on_read: Callable[[int], object] = lambda _: None
) -> Iterator[Document]:
    """The documents of a text file: one, or as many as `doc_separator` stands between. Blank ones are left out.

    `on_read` is as in `TextFile.pieces`.
    """
    text, marks = "".join(file.pieces(on_read)), marks_of(config)
    for part in text.split(config.doc_separator) if config.doc_separator else [text]:
        if stripped := without_marks(part, marks).strip():
            yield Document(stripped)


def in_batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Some documents at a time."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
