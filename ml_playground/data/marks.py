"""Tokens for the structure of documents, which a model's tokenizer learns."""

import re
from collections.abc import Sequence

from ml_playground.config.sections import PrepareConfig

FIELDS = ("speaker", "party", "year", "topic")
"""What can be known of a document, in the order in which its tokens stand before it."""

# llama.cpp's converter takes names like <|this|> for special tokens, which it does not look for in texts.
CHAIR = "<chair>"
SPEECH, END_OF_SPEECH = "<speech>", "</speech>"
INTERJECTION, END_OF_INTERJECTION = "<interjection>", "</interjection>"


def marks_of(config: PrepareConfig) -> list[str]:
    """The tokens that documents prepared like this may hold beside those of the model."""
    marks = [*(f"<{name}>" for name in FIELDS), SPEECH, END_OF_SPEECH] if config.add_structure_tokens else []
    marks += [CHAIR] if config.chair == "mark" else []
    return marks + ([INTERJECTION, END_OF_INTERJECTION] if config.interjections == "mark" else [])


def without_marks(text: str, marks: Sequence[str]) -> str:
    """`text` less these tokens."""
    return re.sub("|".join(map(re.escape, marks)), "", text) if marks else text
