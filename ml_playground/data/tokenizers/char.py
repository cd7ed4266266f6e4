"""Single characters."""

# pyright: reportUnknownMemberType=false
# Hugging Face's library leaves some types out.

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml_playground.data.tokenizers.base import START_TOKEN, Ids, LlamaVocabulary, Tokenizer, TokenKind
from ml_playground.data.tokenizers.byte_level import printable
from ml_playground.errors import ExportError, PromptError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library


class CharTokenizer(Tokenizer):
    """One id per character, and after them the start token if there is one."""

    def __init__(self, characters: Sequence[str], *, start_token: bool) -> None:
        self.characters = list(characters)
        self.start_id = len(self.characters) if start_token else None
        self.vocab_size = len(self.characters) + start_token
        code_points = [ord(character) for character in self.characters]
        self._ids = np.full(max(code_points, default=0) + 2, -1)  # by code point; the last is for all beyond
        self._ids[code_points] = np.arange(len(code_points))

    @classmethod
    def of_text(cls, pieces: Iterable[str], *, start_token: bool) -> "CharTokenizer":
        """The tokenizer whose vocabulary is exactly the characters of a text, in code point order as in nanoGPT."""
        seen = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
        for piece in pieces:
            seen[_code_points(piece)] = True
        return cls([chr(code_point) for code_point in np.flatnonzero(seen)], start_token=start_token)

    def encode(self, text: str) -> Ids:
        """One id per character."""
        code_points = _code_points(text)
        ids: Ids = self._ids[np.minimum(code_points, len(self._ids) - 1)]
        if (ids < 0).any():
            strangers = dict.fromkeys(chr(code_point) for code_point in code_points[ids < 0])
            named = ", ".join(f"{char!r} ({unicodedata.name(char, f'U+{ord(char):04X}')})" for char in strangers)
            raise PromptError(f"not among the vocabulary's {len(self.characters)} characters: {named}")
        return ids

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one character."""
        return b"" if token == self.start_id else self.characters[token].encode()

    def describe(self) -> dict[str, Any]:
        """The vocabulary itself."""
        return {"kind": "char", "characters": self.characters, "start_token": self.start_id is not None}

    def to_fast(self) -> "Library":
        """See `Tokenizer`."""
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

        fast = Tokenizer(models.WordLevel({each: index for index, each in enumerate(self.characters)}))
        fast.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        fast.decoder = decoders.Fuse()
        if self.start_id is not None:
            fast.add_special_tokens([AddedToken(START_TOKEN, normalized=False, special=True)])
        return fast

    def llama_vocabulary(self) -> LlamaVocabulary:
        """See `Tokenizer`.

        All of llama.cpp's algorithms but one take some token for the end of a text, and token 11 if they are told of
        none. Vocabularies without documents have no such token and get that one, `rwkv`, which needs a line end.
        """
        if self.start_id is None:
            if "\n" not in self.characters:
                raise ExportError(
                    "llama.cpp cannot load a character vocabulary without line ends and without a start of documents. "
                    'Train with [prepare] source = "lines", or with a text of several lines.'
                )
            tokens = [_escaped(character) for character in self.characters]
            all_normal: list[TokenKind] = ["normal"] * len(tokens)
            return LlamaVocabulary("rwkv", None, tokens, all_normal, None, None, None)
        encoded = [character.encode() for character in self.characters]
        pairs = dict.fromkeys((char[:cut], char[cut : cut + 1]) for char in encoded for cut in range(1, len(char)))
        # llama.cpp wants some merge even where each character is one byte; this pair never meets.
        merges = [f"{printable(left)} {printable(right)}" for left, right in pairs] or [f"{START_TOKEN} {START_TOKEN}"]
        names = [*map(printable, encoded), START_TOKEN]
        kinds: list[TokenKind] = ["normal"] * self.start_id
        kinds.append("control")
        return LlamaVocabulary("gpt2", "gpt-2", names, kinds, merges, self.start_id, self.start_id)

    def require_converter(self) -> None:
        """See `Tokenizer`."""
        raise ExportError("llama.cpp's converter knows no character vocabularies: leave convert_bin out.")


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def _escaped(character: str) -> str:
    """How llama.cpp's files for `rwkv` write a character."""
    if ord(character) < 32:
        return f"\\x{ord(character):02x}"
    return "\\\\" if character == "\\" else character
