"""Tokenizers: text to ids and back. Each describes itself in plain values, so that a checkpoint can carry it."""

import sys
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tiktoken

from ml_playground.data.text import in_short_blanks, separable
from ml_playground.errors import CheckpointError, DataError, PromptError

Ids = npt.NDArray[np.int64]


class Tokenizer(ABC):
    """Text to ids and back.

    Attributes:
        vocab_size: number of ids, the start token included.
        start_id: the token that every document begins with; None if the data has no documents.
    """

    vocab_size: int
    start_id: int | None

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids of `text`, without a start token.

        Raises:
            PromptError: `text` has a character outside the vocabulary.
        """

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """The UTF-8 bytes that an id stands for; none for the start token. A character may span several ids."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain values from which `load_tokenizer` makes an equal tokenizer."""

    def encode_prompt(self, text: str) -> Ids:
        """The ids of a prompt or a separator, in which names of special tokens mean these tokens.

        Single characters have no tokens with names.
        """
        return self.encode(text)

    def special_ids(self) -> set[int]:
        """The ids that stand for no text."""
        return set() if self.start_id is None else {self.start_id}

    def end_ids(self) -> set[int]:
        """The ids at which a text ends."""
        return set() if self.start_id is None else {self.start_id}

    def lost(self, text: str, ids: Ids) -> Counter[str]:  # noqa: ARG002 -- others than these lose some
        """The characters of `text` that none of `ids`, its tokens, stands for."""
        return Counter()

    def untrained_tokens(self) -> dict[int, list[int]]:
        """Ids that the model whose tokenizer it is has never seen, each with the ids that its name had before."""
        return {}

    def separable(self, pieces: Iterable[str]) -> Iterable[str]:
        """The same text in pieces whose tokens together are those of the whole text."""
        return pieces

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(token) for token in ids).decode(errors="replace")

    def byte_lengths(self) -> Ids:
        """UTF-8 length of each id, shape (vocab_size,): turns nats per token into bits per byte."""
        return np.array([len(self.token_bytes(token)) for token in range(self.vocab_size)], dtype=np.int64)


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


class TiktokenTokenizer(Tokenizer):
    """One of tiktoken's byte-level BPE encodings; its end-of-text token serves as the start token."""

    def __init__(self, encoding: str, *, start_token: bool) -> None:
        """Raises DataError if the encoding's files are not cached and cannot be downloaded."""
        try:
            self._encoding = tiktoken.get_encoding(encoding)
        except OSError as error:  # requests' errors and those of the cache are among them
            raise DataError(
                f"tiktoken could not get its {encoding} vocabulary ({type(error).__name__}). Without internet, set "
                "TIKTOKEN_CACHE_DIR to a folder that tiktoken has filled on another machine: "
                f"TIKTOKEN_CACHE_DIR=<folder> python -c \"import tiktoken; tiktoken.get_encoding('{encoding}')\""
            ) from error
        self.vocab_size = self._encoding.n_vocab
        self.start_id = self._encoding.eot_token if start_token else None

    @property
    def encoding(self) -> str:
        """The encoding's name."""
        return self._encoding.name

    @property
    def word_pattern(self) -> str:
        """The regular expression that cuts a text into words, across whose borders no token goes."""
        return self._encoding._pat_str  # pyright: ignore[reportPrivateUsage]  # there is no public way to it

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """Ids of tokens that stand for no text, by name."""
        names = self._encoding.special_tokens_set
        return {name: self._encoding.encode_single_token(name) for name in sorted(names)}

    def special_ids(self) -> set[int]:
        """See `Tokenizer`."""
        return self._special

    def encode(self, text: str) -> Ids:
        """Byte pair encoding; the names of special tokens are text like any other."""
        return self._ids(text)

    def encode_prompt(self, text: str) -> Ids:
        """See `Tokenizer`."""
        return self._ids(text, self._encoding.special_tokens_set)

    def _ids(self, text: str, special: AbstractSet[str] = frozenset()) -> Ids:
        encode = partial(self._encoding.encode_to_numpy, allowed_special=special, disallowed_special=())
        try:
            return encode(text).astype(np.int64)
        except ValueError:  # its patterns go back over blanks, of which they can count a million
            parts = [encode(part) for part in in_short_blanks(text)]
            return np.concatenate(parts).astype(np.int64)

    @cached_property
    def _special(self) -> set[int]:
        return set(self.special_tokens.values())

    def separable(self, pieces: Iterable[str]) -> Iterable[str]:
        """Cut where tiktoken cuts whatever the text."""
        return separable(pieces)

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, not always whole characters."""
        if token in self._special:
            return b""
        try:
            return self._encoding.decode_single_token_bytes(token)
        except KeyError:  # an id that the encoding leaves unused
            return b""

    def describe(self) -> dict[str, Any]:
        """The encoding's name."""
        return {"kind": "tiktoken", "encoding": self.encoding, "start_token": self.start_id is not None}


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def load_tokenizer(description: dict[str, Any]) -> Tokenizer:
    """The tokenizer that `description`, made by `Tokenizer.describe`, stands for.

    Raises:
        CheckpointError: the description is of an unknown kind, as a newer version may write.
    """
    match description:
        case {"kind": "char", "characters": characters, "start_token": start_token}:
            return CharTokenizer(characters, start_token=start_token)
        case {"kind": "tiktoken", "encoding": encoding, "start_token": start_token}:
            return TiktokenTokenizer(encoding, start_token=start_token)
        case {"kind": "huggingface", "tokenizer": str(text), **rest}:
            from ml_playground.data.fast_tokenizer import FastTokenizer  # which builds on this module

            try:
                return FastTokenizer(text, **{key: value for key, value in rest.items() if key != "kind"})
            except TypeError as error:
                raise CheckpointError(f"the tokenizer was written by another version ({error})") from error
        case _:
            raise CheckpointError(f"unknown kind of tokenizer: {description.get('kind')!r}")
