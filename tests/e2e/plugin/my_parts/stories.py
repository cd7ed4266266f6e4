"""A source of stories in JSON."""

import json
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.document import Document
from ml_playground.data.sources.base import Documents, OnRead
from ml_playground.data.text import TextFile


class Stories(Documents):
    """A story with its author in each line of JSON."""

    endings = (".jsonl",)
    fields: ClassVar[tuple[str, ...]] = ("author",)

    shortest: int = Field(0, ge=0, description="characters that a story has at least")

    def documents(self, file: TextFile, config: PrepareConfig, on_read: OnRead) -> Iterator[Document]:  # noqa: ARG002
        """See `Documents`."""
        for line in "".join(file.pieces(on_read)).splitlines():
            row = json.loads(line)
            if len(row["story"]) >= self.shortest:
                yield Document(row["story"], {"author": row["author"]})
