"""A tokenizer of bytes."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ml_playground.data.tokenizers.base import Ids, Tokenizer
from ml_playground.data.tokenizers.options import Texts, TokenizerOptions


class Bytes(TokenizerOptions):
    """A token for each byte of UTF-8."""

    takes_tokens: ClassVar[bool] = True

    def build(self, texts: Texts) -> Tokenizer:
        """See `TokenizerOptions`."""
        return ByteTokenizer(texts.tokens)

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> Tokenizer:
        """See `TokenizerOptions`."""
        return ByteTokenizer(description["names"])


class ByteTokenizer(Tokenizer):
    """Bytes, a token between documents, and those of the structure of documents."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.start_id, self.vocab_size = list(names), None, 257 + len(names)

    def encode(self, text: str) -> Ids:
        """See `Tokenizer`."""
        ids: list[int] = []
        while text:
            name = next((each for each in self.names if text.startswith(each)), None)
            ids += text[0].encode() if name is None else [257 + self.names.index(name)]
            text = text[len(name or text[0]) :]
        return np.array(ids, dtype=np.int64)

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer`."""
        if token < 256:
            return bytes([token])
        return b"" if token == 256 else self.names[token - 257].encode()

    def separator(self) -> Ids:
        """See `Tokenizer`."""
        return np.array([256])

    def describe(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return {"kind": "bytes", "names": self.names}
