"""What a tokenizer is: text to ids and back, described in plain values, so that a checkpoint can carry it."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ml_playground.errors import ExportError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

Ids = npt.NDArray[np.int64]
TokenKind = Literal["normal", "control", "unused"]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""What other programs read of a tokenizer."""

START_TOKEN = "<|endoftext|>"  # noqa: S105 -- no password: the name that GPT-2 gave what begins and ends documents


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
    tokens: Sequence[str]
    types: Sequence[TokenKind]
    merges: Sequence[str] | None
    start_id: int | None
    end_id: int | None


class Tokenizer(ABC):
    """Text to ids and back.

    Attributes:
        vocab_size: number of ids, the start token included.
        start_id: the token that every document begins with; None if the data has no documents.
        has_folder: whether its files go beside the data, for other programs: a model's.
    """

    has_folder: ClassVar[bool] = False
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
        """Plain values from which `load_tokenizer` makes an equal tokenizer; `kind` is that of the registry."""

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
        """Ids that the tokenizer's model was never trained on, each with the ids that its name had before."""
        return {}

    def safe_chunks(self, pieces: Iterable[str]) -> Iterable[str]:
        """The same text in pieces whose tokens together are those of the whole text."""
        return pieces

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(token) for token in ids).decode(errors="replace")

    def separator(self) -> Ids | None:
        """What follows each document that ends with a separator, unless the configuration names something else.

        None where the next one's start token is enough.

        Raises:
            DataError: there is no token for that.
        """
        return None

    def end_of_text(self) -> tuple[str, int] | None:
        """The token that ends a text, by the name that it has in files for other programs, and its id."""
        return None if self.start_id is None else (START_TOKEN, self.start_id)

    def to_fast(self) -> "Library":
        """A tokenizer of Hugging Face's library with the same ids; a character outside a vocabulary is an exception.

        Raises:
            ExportError: there is none.
        """
        raise ExportError(f"no tokenizer of Hugging Face's library does what {type(self).__name__} does")

    def llama_vocabulary(self) -> LlamaVocabulary:
        """The vocabulary as llama.cpp reads it from a GGUF file.

        Raises:
            ExportError: how llama.cpp calls this tokenizer is not known.
        """
        raise ExportError(
            "only llama.cpp's converter knows how to store this tokenizer: set [export.gguf] convert_bin, or "
            "[export.gguf] enabled = false."
        )

    def require_converter(self) -> None:  # noqa: B027 -- most have nothing to refuse
        """Raises ExportError if llama.cpp's own converter does not know what `to_fast` makes."""
