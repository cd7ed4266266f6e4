"""Prompts."""

from pathlib import Path

from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import PromptError
from ml_playground.utils.files import read_file

START = "[sample.sample] start"
"""The option that most prompts come from."""


def read_prompt(start: str, option: str = START) -> str:
    """The text that an option states: itself, or that of the file named after `FILE:`.

    Raises:
        PromptError: the file cannot be read, is not a regular file or not UTF-8.
    """
    if not start.startswith("FILE:"):
        return start
    path = Path(start.removeprefix("FILE:"))
    try:
        text = read_file(path).decode("utf-8-sig")
    except OSError as error:
        raise PromptError(f"{option}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{option}: {path} is not UTF-8 text (byte {error.start})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encode_prompt(text: str, tokenizer: Tokenizer, option: str = START) -> list[int]:
    """The ids to continue, after the start token if the model knows documents.

    Raises:
        PromptError: a character is invalid or not in the vocabulary, or there is nothing to start from.
    """
    try:
        text.encode()
        ids: list[int] = tokenizer.encode_prompt(text).tolist()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise PromptError(f"{option}: {text[error.start]!r} is not a character") from error
    except PromptError as error:
        raise PromptError(f"{option}: {error}") from error
    if tokenizer.start_id is not None:
        return [tokenizer.start_id, *ids]
    if not ids:
        raise PromptError(
            f"{option}: is empty, and this model has no token for the start of a document. "
            'Give it some text, such as "\\n".'
        )
    return ids
