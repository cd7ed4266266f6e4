"""Our tokenizers as those of Hugging Face and of llama.cpp."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gguf.constants import TokenType
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Library

from ml_playground.data.fast_tokenizer import BYTES, FastTokenizer
from ml_playground.data.tokenizers import CharTokenizer, TiktokenTokenizer, Tokenizer
from ml_playground.errors import ExportError

START_TOKEN = "<|endoftext|>"  # noqa: S105 -- no password: the name that GPT-2 gave what begins and ends documents

_BYTE_CHARACTERS = {byte: character for character, byte in BYTES.items()}
_WORD_PATTERNS = {  # llama.cpp knows the patterns of these encodings by the names of models that have them
    "gpt2": "gpt-2",
    "r50k_base": "gpt-2",
    "p50k_base": "gpt-2",
    "cl100k_base": "dbrx",
    "o200k_base": "gpt-4o",
}


@dataclass(frozen=True)
class LlamaVocabulary:
    """A vocabulary in llama.cpp's terms.

    Attributes:
        model: the algorithm: `gpt2` is byte-level BPE, `rwkv` the longest token that matches.
        pre: the pattern that cuts a text into words, for `gpt2`.
        tokens: how each id is written.
        types: what kind of token each id is.
        merges: pairs of tokens that become one, the first ones first, for `gpt2`.
        start_id: what documents begin with, if the model knows documents.
        end_id: what ends a text, if there is such a token.
    """

    model: str
    pre: str | None
    tokens: list[str]
    types: list[TokenType]
    merges: list[str] | None
    start_id: int | None
    end_id: int | None


def fast_tokenizer(tokenizer: Tokenizer) -> Library:
    """A tokenizer of Hugging Face's library with the same ids; a character outside a vocabulary raises an exception.

    Raises:
        ExportError: there is none for this kind of tokenizer.
    """
    match tokenizer:
        case CharTokenizer():
            fast = Library(models.WordLevel({each: index for index, each in enumerate(tokenizer.characters)}))
            fast.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
            fast.decoder = decoders.Fuse()
        case TiktokenTokenizer():
            ranks = _ranks(tokenizer)
            vocabulary = {_printable(token): rank for token, rank in ranks.items()}
            fast = Library(models.BPE(vocabulary, list(_merges(ranks)), ignore_merges=True))
            words = pre_tokenizers.Split(Regex(tokenizer.word_pattern), "isolated")
            byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            fast.pre_tokenizer = pre_tokenizers.Sequence([words, byte_level])
            fast.decoder = decoders.ByteLevel()
        case FastTokenizer():
            # What the file does around a text, and to long ones, was not done in training.
            unused = {"post_processor": None, "truncation": None, "padding": None}
            return Library.from_str(json.dumps({**json.loads(tokenizer.text), **unused}))
        case _:
            raise ExportError(f"no tokenizer elsewhere does what {type(tokenizer).__name__} does")
    names = sorted(_special_tokens(tokenizer).items(), key=lambda item: item[1])
    fast.add_special_tokens([AddedToken(name, normalized=False, special=True) for name, _ in names])
    return fast


def llama_vocabulary(tokenizer: Tokenizer) -> LlamaVocabulary:
    """The vocabulary as llama.cpp reads it from a GGUF file.

    All of its algorithms but one take some token for the end of a text, and token 11 if they are told of none.
    Character vocabularies without documents have no such token and get that one, `rwkv`, which needs a line end.

    Raises:
        ExportError: llama.cpp has no way to tokenize like that.
    """
    match tokenizer:
        case CharTokenizer(start_id=None):
            if "\n" not in tokenizer.characters:
                raise ExportError(
                    "llama.cpp cannot load a character vocabulary without line ends and without a start of documents. "
                    'Train with [prepare] documents = "lines", or with a text of several lines.'
                )
            tokens = [_escaped(character) for character in tokenizer.characters]
            return LlamaVocabulary("rwkv", None, tokens, [TokenType.NORMAL] * len(tokens), None, None, None)
        case CharTokenizer(start_id=int(start)):
            encoded = [character.encode() for character in tokenizer.characters]
            pairs = dict.fromkeys((char[:cut], char[cut : cut + 1]) for char in encoded for cut in range(1, len(char)))
            # llama.cpp wants some merge even where each character is one byte; this pair never meets.
            merges = [f"{_printable(left)} {_printable(right)}" for left, right in pairs] or [
                f"{START_TOKEN} {START_TOKEN}"
            ]
            tokens, types = [*map(_printable, encoded), START_TOKEN], [TokenType.NORMAL] * start + [TokenType.CONTROL]
            return LlamaVocabulary("gpt2", "gpt-2", tokens, types, merges, start, start)
        case TiktokenTokenizer():
            ranks, specials = _ranks(tokenizer), tokenizer.special_tokens
            written = {rank: (_printable(token), TokenType.NORMAL) for token, rank in ranks.items()}
            written |= {rank: (name, TokenType.CONTROL) for name, rank in specials.items()}
            unused = [rank for rank in range(tokenizer.vocab_size) if rank not in written]
            written |= {rank: (f"[UNUSED_{rank}]", TokenType.UNUSED) for rank in unused}
            tokens = [written[rank][0] for rank in range(tokenizer.vocab_size)]
            types = [written[rank][1] for rank in range(tokenizer.vocab_size)]
            merges = [f"{left} {right}" for left, right in _merges(ranks)]
            pattern, end = _WORD_PATTERNS[tokenizer.encoding], specials[START_TOKEN]
            return LlamaVocabulary("gpt2", pattern, tokens, types, merges, tokenizer.start_id, end)
        case _:
            raise ExportError(
                "how llama.cpp calls this tokenizer is known to its converter only: set [export.gguf] convert_bin, or "
                "[export.gguf] enabled = false."
            )


def end_of_text(tokenizer: Tokenizer) -> tuple[str, int] | None:
    """The token that ends a text, by the name that it has in files for other programs; documents begin with it too."""
    if isinstance(tokenizer, FastTokenizer):
        name, index = tokenizer.end_token, tokenizer.end_id
        return None if name is None or index is None else (name, index)
    index = _special_tokens(tokenizer).get(START_TOKEN)
    return None if index is None else (START_TOKEN, index)


def _special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of tokens that stand for no text, by name."""
    if isinstance(tokenizer, TiktokenTokenizer):
        return tokenizer.special_tokens
    return {} if tokenizer.start_id is None else {START_TOKEN: tokenizer.start_id}


def _ranks(tokenizer: TiktokenTokenizer) -> dict[bytes, int]:
    """Ids of the tokens that stand for text, by their bytes."""
    specials = set(tokenizer.special_tokens.values())
    tokens = {rank: tokenizer.token_bytes(rank) for rank in range(tokenizer.vocab_size) if rank not in specials}
    return {token: rank for rank, token in tokens.items() if token}


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[str, str]]:
    """The pairs whose union is a token, in the order of that token: tiktoken merges whatever makes the lowest rank."""
    for token in sorted(ranks, key=lambda token: ranks[token]):
        for cut in range(1, len(token)):
            if token[:cut] in ranks and token[cut:] in ranks:
                yield _printable(token[:cut]), _printable(token[cut:])


def _printable(token: bytes) -> str:
    return "".join(_BYTE_CHARACTERS[byte] for byte in token)


def _escaped(character: str) -> str:
    if ord(character) < 32:
        return f"\\x{ord(character):02x}"
    return "\\\\" if character == "\\" else character
