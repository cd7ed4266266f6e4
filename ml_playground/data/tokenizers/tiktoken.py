"""tiktoken's encodings."""

# pyright: reportUnknownMemberType=false
# Hugging Face's library leaves some types out.

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tiktoken

from ml_playground.data.text import in_short_blanks, safe_chunks
from ml_playground.data.tokenizers.base import START_TOKEN, Ids, LlamaVocabulary, Tokenizer, TokenKind
from ml_playground.data.tokenizers.byte_level import printable
from ml_playground.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

_WORD_PATTERNS = {  # llama.cpp knows the patterns of these encodings by the names of models that have them
    "gpt2": "gpt-2",
    "r50k_base": "gpt-2",
    "p50k_base": "gpt-2",
    "cl100k_base": "dbrx",
    "o200k_base": "gpt-4o",
}


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

    def safe_chunks(self, pieces: Iterable[str]) -> Iterable[str]:
        """Cut where tiktoken cuts whatever the text."""
        return safe_chunks(pieces)

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
        return {"kind": self.encoding, "start_token": self.start_id is not None}

    def end_of_text(self) -> tuple[str, int]:
        """See `Tokenizer`."""
        return START_TOKEN, self.special_tokens[START_TOKEN]

    def to_fast(self) -> "Library":
        """See `Tokenizer`."""
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

        ranks = self._ranks
        vocabulary = {printable(token): rank for token, rank in ranks.items()}
        fast = Tokenizer(models.BPE(vocabulary, list(_merges(ranks)), ignore_merges=True))
        words = pre_tokenizers.Split(Regex(self.word_pattern), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        fast.pre_tokenizer = pre_tokenizers.Sequence([words, byte_level])
        fast.decoder = decoders.ByteLevel()
        names = sorted(self.special_tokens, key=lambda name: self.special_tokens[name])
        fast.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
        return fast

    def llama_vocabulary(self) -> LlamaVocabulary:
        """See `Tokenizer`."""
        ranks, specials = self._ranks, self.special_tokens
        written: dict[int, tuple[str, TokenKind]] = {
            rank: (printable(token), "normal") for token, rank in ranks.items()
        }
        written |= {rank: (name, "control") for name, rank in specials.items()}
        written |= {rank: (f"[UNUSED_{rank}]", "unused") for rank in range(self.vocab_size) if rank not in written}
        tokens = [written[rank][0] for rank in range(self.vocab_size)]
        types: list[TokenKind] = [written[rank][1] for rank in range(self.vocab_size)]
        merges = [f"{left} {right}" for left, right in _merges(ranks)]
        pattern, end = _WORD_PATTERNS[self.encoding], specials[START_TOKEN]
        return LlamaVocabulary("gpt2", pattern, tokens, types, merges, self.start_id, end)

    @property
    def _ranks(self) -> dict[bytes, int]:
        """Ids of the tokens that stand for text, by their bytes."""
        tokens = {rank: self.token_bytes(rank) for rank in range(self.vocab_size) if rank not in self._special}
        return {token: rank for rank, token in tokens.items() if token}


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[str, str]]:
    """The pairs whose union is a token, in the order of that token: tiktoken merges whatever makes the lowest rank."""
    for token in sorted(ranks, key=lambda token: ranks[token]):
        for cut in range(1, len(token)):
            if token[:cut] in ranks and token[cut:] in ranks:
                yield printable(token[:cut]), printable(token[cut:])
