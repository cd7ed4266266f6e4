"""Documents with their fields, and the structure tokens around them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.sources.base import source_of

_BATCH = 2**18  # characters per batch
_NOTHING: Mapping[str, str] = {}


class Document(NamedTuple):
    """A text and its fields.

    Attributes:
        text: the text; it may contain tags of its source, such as those around interjections.
        fields: values by name; an empty value means unknown.
        before: tags of its source to put before the text.
        raw_bytes: bytes in UTF-8 of what it was made from, line ends and separators included; None for those of `text`.
    """

    text: str
    fields: Mapping[str, str] = _NOTHING
    before: str = ""
    raw_bytes: int | None = None


class Structure:
    """The tokens around and in documents, which are added to a model's tokenizer.

    Attributes:
        fields: names of the fields that have a token of their own.
        wrapping: the tokens before and after a text, if any.
        tokens: all of them, in the order in which they are added to a tokenizer.
    """

    def __init__(self, fields: tuple[str, ...], wrapping: tuple[str, str] | None, tags: list[str]) -> None:
        """See `Structure`; `tags` are those that a source puts into texts."""
        self.fields = fields
        self.wrapping = wrapping
        # llama.cpp's converter takes names like <|this|> for special tokens, which it does not look for in texts.
        self.tokens = [*(f"<{name}>" for name in fields), *(wrapping or ()), *tags]
        self._pattern = re.compile("|".join(map(re.escape, self.tokens))) if self.tokens else None

    @property
    def last(self) -> str | None:
        """The token after a text, if there is one."""
        return None if self.wrapping is None else self.wrapping[1]

    @classmethod
    def of(cls, config: PrepareConfig) -> "Structure":
        """The structure that `[prepare]` asks for."""
        source = source_of(config)
        wrapping = source.wrapping if config.add_structure_tokens else None
        return cls(config.structure_fields, wrapping, [token for tokens in source.tags.values() for token in tokens])

    def stripped(self, text: str) -> str:
        """`text` without these tokens."""
        return text if self._pattern is None else self._pattern.sub("", text)

    def plain(self, document: Document) -> str:
        """The text alone, which identifies a document and decides its side of the split."""
        return self.stripped(document.text)

    def wrapped(self, document: Document) -> str:
        """The text as the model is trained on it."""
        if self.wrapping is None:
            return document.before + document.text
        known = [(name, document.fields.get(name)) for name in self.fields]
        header = "".join(f"<{name}>{value}" for name, value in known if value)
        first, last = self.wrapping
        return f"{header}{document.before}{first}{document.text}{last}"

    def raw_bytes(self, document: Document) -> int:
        """Bytes in UTF-8 of the raw text that is trained on: the document's, and its fields' where they are added."""
        own = len(self.plain(document).encode()) if document.raw_bytes is None else document.raw_bytes
        named = () if self.wrapping is None else self.fields
        return own + sum(len(document.fields.get(name, "").encode()) for name in named)

    def row(self, document: Document) -> bytes:
        """A line of JSON: the text as the model is trained on it, and its fields."""
        known = {name: value for name, value in document.fields.items() if value}
        return (json.dumps({"text": self.wrapped(document), **known}, ensure_ascii=False) + "\n").encode()


def in_batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in batches."""
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
