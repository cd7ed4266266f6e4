"""Tokenizers that came with a model: a `tokenizer.json` of Hugging Face's library."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_playground.data.text import safe_chunks
from ml_playground.data.tokenizers.base import Ids, Tokenizer
from ml_playground.data.tokenizers.byte_level import BYTES
from ml_playground.errors import DataError, PromptError
from ml_playground.utils.tables import Table

if TYPE_CHECKING:  # an extra brings it
    from tokenizers import Tokenizer as Library

_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")  # of tokens within and at the end of words
_PIECE = 2**16  # characters
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class FastTokenizer(Tokenizer):
    """A tokenizer of Hugging Face's library, of any kind that it has. Names of special tokens are text like any other.

    Attributes:
        text: its `tokenizer.json`.
        end_token: the name of the token that ends a text, if there is one.
        other_ends: ids at which a text ends too, such as that of a turn in a chat, or of the structure of documents.
        marks: names of tokens that were added to it for the structure of documents, in texts too, each with the ids
            that its name had before.
    """

    has_folder = True

    def __init__(
        self,
        text: str,
        *,
        end_token: str | None,
        start_token: str | None = None,
        other_ends: Sequence[int] = (),
        marks: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Documents begin with the token named `start_token`. Raises DataError if `text` is damaged."""
        self._library = library_of(text)
        self._library.encode_special_tokens = True
        self._library.no_truncation()  # which some files ask for
        self._library.no_padding()
        self.text = text
        self.end_token = end_token
        self.vocab_size = 1 + max(self._library.get_vocab(with_added_tokens=True).values(), default=-1)
        self.start_token = start_token
        self.start_id = None if start_token is None else self._library.token_to_id(start_token)
        self.other_ends = list(other_ends)
        self.marks = {name: list(ids) for name, ids in (marks or {}).items()}

    @property
    def end_id(self) -> int | None:
        """The id of `end_token`."""
        return None if self.end_token is None else self._library.token_to_id(self.end_token)

    def encode(self, text: str) -> Ids:
        """Without the tokens that a model expects around a text."""
        try:
            return np.array(self._library.encode(text, add_special_tokens=False).ids, dtype=np.int64)
        except Exception as error:  # such as a character that its vocabulary lacks; the library raises nothing narrower
            if type(error) is not Exception:
                raise
            raise PromptError(f"the tokenizer cannot take this text: {error}") from error

    def encode_prompt(self, text: str) -> Ids:
        """See `Tokenizer`. Raises PromptError where a character has no token, as characters that were not seen do."""
        rest = re.sub("|".join(map(re.escape, self._special_names)) or "(?!)", "", text)
        if lost := self.lost(rest, self.encode(rest)):
            raise PromptError(f"the tokenizer has no token for {', '.join(map(repr, lost))}")
        self._library.encode_special_tokens = False
        try:
            return self.encode(text)
        finally:
            self._library.encode_special_tokens = True

    def special_ids(self) -> set[int]:
        """See `Tokenizer`."""
        return self._special

    def end_ids(self) -> set[int]:
        """See `Tokenizer`."""
        ends = (self.start_id, self.end_id, *self.other_ends)
        return {each for each in ends if each is not None}

    def separator(self) -> Ids:
        """See `Tokenizer`: the token that ends a text."""
        if self.end_id is None:
            raise DataError(
                "the model's tokenizer has no token for the end of a text. Set [prepare] doc_separator to what is to "
                'stand between documents, such as "\\n\\n".'
            )
        return np.array([self.end_id])

    def end_of_text(self) -> tuple[str, int] | None:
        """See `Tokenizer`."""
        return None if self.end_token is None or self.end_id is None else (self.end_token, self.end_id)

    def to_fast(self) -> "Library":
        """See `Tokenizer`."""
        # What the file does around a text, and to long ones, was not done in training.
        unused = {"post_processor": None, "truncation": None, "padding": None}
        return library_of(json.dumps({**json.loads(self.text), **unused}))

    def safe_chunks(self, pieces: Iterable[str]) -> Iterable[str]:
        """Cut where patterns like GPT-2's cut whatever the text; of other kinds of tokenizers nothing is known."""
        return safe_chunks(pieces) if self._cuts_words else ["".join(pieces)]

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, not always whole characters."""
        name = self._library.id_to_token(token)
        if name is None or token in self._special:  # a vocabulary may leave ids unused
            return b""
        if token in self._plain:
            return name.encode()
        if self._by_bytes:
            return bytes(BYTES[each] for each in name) if BYTES.keys() >= set(name) else name.encode()
        if self._falls_back and _BYTE.fullmatch(name):
            return bytes.fromhex(name[3:-1])
        return (name if self._space is None else name.replace(self._space, " ")).encode()

    def lost(self, text: str, ids: Ids) -> Counter[str]:
        """See `Tokenizer`. Blanks that a tokenizer leaves out and puts back are not lost."""
        if len(text.encode()) == self._lengths[ids].sum() and not (ids == self._unknown).any():
            return Counter()
        pieces = (text[first : first + _PIECE] for first in range(0, len(text), _PIECE))
        return sum(map(self._lost_in, pieces), Counter[str]())

    def _lost_in(self, text: str) -> Counter[str]:
        if self._drops:
            return Counter({each: count for each, count in Counter(text).items() if self._is_dropped(each)})
        encoding = self._library.encode(text, add_special_tokens=False)
        covered = np.zeros(len(text) + 1, dtype=np.int64)
        for token, (first, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token != self._unknown:
                covered[first] += 1
                covered[end] -= 1
        missing = np.flatnonzero(covered.cumsum()[:-1] <= 0).tolist()
        return Counter(text[index] for index in missing if not text[index].isspace())

    def _is_dropped(self, character: str) -> bool:
        """Whether a character, as it comes to a vocabulary that drops what it lacks, is not in that."""
        normalizer, pre_tokenizer = self._library.normalizer, self._library.pre_tokenizer
        text: str = character if normalizer is None else normalizer.normalize_str(character)
        words = [text] if pre_tokenizer is None else [word for word, _ in pre_tokenizer.pre_tokenize_str(text)]
        prefix, suffix = (self._parts["model"].get(key) or "" for key in _AFFIXES)
        ways = ((each, prefix + each, each + suffix) for word in words for each in word)
        return not character.isspace() and any(self._vocabulary.isdisjoint(three) for three in ways)

    def describe(self) -> dict[str, Any]:
        """The whole file."""
        return {
            "kind": "huggingface",
            "tokenizer": self.text,
            "end_token": self.end_token,
            "start_token": self.start_token,
            "other_ends": self.other_ends,
            "marks": self.marks,
        }

    def untrained_tokens(self) -> dict[int, list[int]]:
        """See `Tokenizer`."""
        ids = {self._mark_ids[name]: before for name, before in self.marks.items()}
        return {token: before for token, before in ids.items() if before != [token]}

    @cached_property
    def _mark_ids(self) -> dict[str, int]:
        vocabulary = self._library.get_vocab(with_added_tokens=True)
        return {name: vocabulary[name] for name in self.marks}

    @cached_property
    def _parts(self) -> Table:
        parts: Table = json.loads(self._library.to_str())  # complete, which the file need not be
        return parts

    @cached_property
    def _special_names(self) -> list[str]:
        """Longest first, as one may begin with another."""
        names: list[str] = [each["content"] for each in self._parts["added_tokens"] if each["special"]]
        return sorted(names, key=len, reverse=True)

    @cached_property
    def _special(self) -> set[int]:
        return {each["id"] for each in self._parts["added_tokens"] if each["special"]}

    @cached_property
    def _by_bytes(self) -> bool:
        return "ByteLevel" in json.dumps(self._parts["decoder"])

    @cached_property
    def _cuts_words(self) -> bool:
        """Whether it cuts a text by a pattern first, without putting anything in front of it."""
        first: Table = self._parts["pre_tokenizer"] or {}
        steps: list[Table] = first.get("pretokenizers", [first])
        by_pattern = any(step.get("type") == "Split" or step.get("use_regex") for step in steps)
        normal = (self._parts["normalizer"] or {"type": "NFC"})["type"] == "NFC"
        return self._by_bytes and by_pattern and normal and not any(step.get("add_prefix_space") for step in steps)

    @cached_property
    def _plain(self) -> set[int]:
        """Ids whose names are text as it is, for they were added to the vocabulary."""
        model = self._library.get_vocab(with_added_tokens=False)
        return {each["id"] for each in self._parts["added_tokens"] if self._by_bytes or each["content"] not in model}

    @cached_property
    def _space(self) -> str | None:
        """What is written for a space, if that is something else."""
        decoder: Table = self._parts["decoder"] or {}
        for step in decoder.get("decoders", [decoder]):
            if step.get("type") == "Metaspace":
                return str(step["replacement"])
            if step.get("type") == "Replace" and step["content"] == " " and "String" in step["pattern"]:
                return str(step["pattern"]["String"])
        return None

    @cached_property
    def _unknown(self) -> int:
        """The id for what the vocabulary lacks; -1 if there is none."""
        model: Table = self._parts["model"]
        if model.get("unk_id") is not None:
            return int(model["unk_id"])
        index = None if model.get("unk_token") is None else self._library.token_to_id(model["unk_token"])
        return -1 if index is None else index

    @cached_property
    def _drops(self) -> bool:
        """Whether characters that the vocabulary lacks leave no token at all; offsets of others are wrong then."""
        model: Table = self._parts["model"]
        return model["type"] == "BPE" and model.get("unk_token") is None and not model.get("byte_fallback")

    @cached_property
    def _vocabulary(self) -> set[str]:
        return set(self._library.get_vocab(with_added_tokens=True))

    @cached_property
    def _lengths(self) -> Ids:
        """UTF-8 length of each id, shape (vocab_size,)."""
        return np.array([len(self.token_bytes(token)) for token in range(self.vocab_size)], dtype=np.int64)

    @cached_property
    def _falls_back(self) -> bool:
        return bool(self._parts["model"].get("byte_fallback"))


def library_of(text: str) -> "Library":
    """What the library makes of a `tokenizer.json`. Raises DataError if it is damaged."""
    from tokenizers import Tokenizer as Library

    try:
        return Library.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        if type(error) is not Exception:
            raise
        raise DataError(f"tokenizer.json is damaged ({error})") from error
