"""The kinds of tokenizer, with their options; what they make is in the other files of this folder."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_playground.config.fields import default_from
from ml_playground.config.registries import TOKENIZERS
from ml_playground.config.sections import ModelName, Packing, PrepareConfig, TokenizerConfig
from ml_playground.config.sections.types import TRAINED_MODEL, TRAINED_REVISION
from ml_playground.errors import CheckpointError

if TYPE_CHECKING:
    from ml_playground.data.tokenizers.base import Tokenizer


class Texts(NamedTuple):
    """What a tokenizer is made for.

    Attributes:
        stream: streams all text to encode, each time it is called.
        packing: how texts follow each other.
        tokens: names of tokens to add, for the structure of documents.
        last: the one of them that ends a text, if one does.
    """

    stream: Callable[[], Iterable[str]]
    packing: Packing
    tokens: Sequence[str] = ()
    last: str | None = None


class TokenizerOptions(TokenizerConfig):
    """Text to tokens. The kinds are in `ml_playground/data/tokenizers/`."""

    def build(self, texts: Texts) -> "Tokenizer":
        """The tokenizer for these texts. Raises DataError if there is none."""
        raise NotImplementedError

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer that `description`, made by `Tokenizer.describe`, stands for.

        Raises:
            LookupError, TypeError: another version wrote it.
        """
        raise NotImplementedError

    @property
    def content_decides(self) -> bool:
        """Whether a prepared tokenizer is compared with what `build` makes now, whatever the options call it."""
        return False

    def identity(self) -> dict[str, Any]:
        """The options that decide what tokens are, which decide whether prepared data is stale."""
        return self.model_dump()

    def write(self, tokenizer: "Tokenizer", folder: Path) -> None:
        """Write its files for other programs. Only called if it `has_folder`."""
        raise NotImplementedError


class Char(TokenizerOptions):
    """One token per character of the text."""

    def build(self, texts: Texts) -> "Tokenizer":
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.char import CharTokenizer

        return CharTokenizer.of_text(texts.stream(), start_token=texts.packing != "running")

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> "Tokenizer":
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.char import CharTokenizer

        return CharTokenizer(description["characters"], start_token=description["start_token"])


class Tiktoken(TokenizerOptions):
    """Byte pair encoding: the encoding of that name in tiktoken."""

    def build(self, texts: Texts) -> "Tokenizer":
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer

        return TiktokenTokenizer(self.kind, start_token=texts.packing != "running")

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> "Tokenizer":
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer

        return TiktokenTokenizer(description["kind"], start_token=description["start_token"])


class HuggingFace(TokenizerOptions):
    """The tokenizer of a model in Hugging Face's format."""

    takes_tokens = is_of_model = True

    model: ModelName = default_from(
        TRAINED_MODEL, "the model whose tokenizer it is: a folder, or a name on the Hugging Face Hub"
    )
    revision: str | None = default_from(TRAINED_REVISION, "its revision on the Hub")

    @property
    def of_model(self) -> str | None:
        """See `TokenizerConfig`."""
        return self.model

    def build(self, texts: Texts) -> "Tokenizer":
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.of_model import tokenizer_of_model

        assert self.model is not None  # the configuration is refused otherwise
        return tokenizer_of_model(
            self.model, packing=texts.packing, tokens=texts.tokens, last=texts.last, revision=self.revision
        )

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> "Tokenizer":
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.huggingface import FastTokenizer

        values = {key: value for key, value in description.items() if key not in ("kind", "tokenizer")}
        return FastTokenizer(description["tokenizer"], **values)

    @property
    def content_decides(self) -> bool:
        """See `TokenizerOptions`: of a folder that is at hand."""
        folder = Path(str(self.model))
        return folder.is_absolute() and folder.is_dir()

    def identity(self) -> dict[str, Any]:
        """See `TokenizerOptions`: folders by their own names, as they may be moved, names on the Hub as they are."""
        name = Path(str(self.model))
        return {**self.model_dump(), "model": name.name if name.is_absolute() else self.model}

    def write(self, tokenizer: "Tokenizer", folder: Path) -> None:
        """See `TokenizerOptions`."""
        from ml_playground.data.tokenizers.huggingface import FastTokenizer
        from ml_playground.data.tokenizers.of_model import write_tokenizer

        assert isinstance(tokenizer, FastTokenizer)  # others have no folder
        write_tokenizer(folder, tokenizer, self.model or "", self.revision)


def tokenizer_options(config: PrepareConfig) -> TokenizerOptions:
    """The kind of tokenizer that a configuration names."""
    assert isinstance(config.tokenizer, TokenizerOptions)  # as all in the registry are
    return config.tokenizer


def load_tokenizer(description: Mapping[str, Any]) -> "Tokenizer":
    """The tokenizer that `description`, made by `Tokenizer.describe`, stands for.

    Raises:
        CheckpointError: no registered kind of tokenizer has written it.
    """
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in TOKENIZERS:
        raise CheckpointError(f"unknown kind of tokenizer: {kind!r}. If it is your own, name its file in 'plugins'.")
    options: type[TokenizerOptions] = TOKENIZERS.load(kind)
    try:
        return options.restore(description)
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"the tokenizer was written by another version ({error})") from error
