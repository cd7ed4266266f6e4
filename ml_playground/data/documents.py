"""Documents of one text each: files, and the speeches of a CSV table."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.fast_tokenizer import END_MARK
from ml_playground.data.text import TextFile

FIELDS = ("speaker", "party", "year", "topic")
"""What is known of a document, in the order in which its tokens stand before it."""

_CHAIR = "<chair>"
_SPEECH = "<speech>"
_INTERJECTION, _END_OF_INTERJECTION = "<interjection>", "</interjection>"
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

    def marked(self, config: PrepareConfig) -> str:
        """The text with the tokens for its structure that `config` asks for."""
        chair = _CHAIR if self.is_chair and config.chair == "mark" else ""
        if not config.add_structure_tokens:
            return chair + self.text
        known = [(name, getattr(self, name)) for name in FIELDS]
        header = "".join(f"<{name}>{value}" for name, value in known if value)
        return f"{header}{chair}{_SPEECH}{self.text}{END_MARK}"

    def row(self, config: PrepareConfig) -> bytes:
        """A line of JSON: the text as the model learns it, and what is known of it."""
        known = {key: value for key, value in asdict(self).items() if value and key in FIELDS}
        return (json.dumps({"text": self.marked(config), **known}, ensure_ascii=False) + "\n").encode()


def marks_of(config: PrepareConfig) -> list[str]:
    """The tokens that documents prepared like this may hold beside those of the model."""
    marks = [*(f"<{name}>" for name in FIELDS), _SPEECH, END_MARK] if config.add_structure_tokens else []
    marks += [_CHAIR] if config.chair == "mark" else []
    return marks + ([_INTERJECTION, _END_OF_INTERJECTION] if config.interjections == "mark" else [])


def marked_interjection(text: str) -> str:
    """An interjection between its tokens."""
    return f"{_INTERJECTION}{text}{_END_OF_INTERJECTION}"


def without_marks(text: str, marks: Sequence[str]) -> str:
    """`text` less the tokens for its structure."""
    return re.sub("|".join(map(re.escape, marks)), "", text) if marks else text


def text_documents(
    file: TextFile, separator: str | None, on_read: Callable[[int], object] = lambda _: None
) -> Iterator[Document]:
    """The documents of a text file: one, or as many as `separator` stands between. Blank ones are left out.

    `on_read` is as in `TextFile.pieces`.
    """
    text = "".join(file.pieces(on_read))
    for part in text.split(separator) if separator else [text]:
        if stripped := part.strip():
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
