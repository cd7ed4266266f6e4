"""Texts and vocabularies as LIT's data sets."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from lit_nlp.api import types
from lit_nlp.api.dataset import Dataset

from ml_playground.analysis.examples import Example
from ml_playground.analysis.lit.models import CLASSES
from ml_playground.analysis.lit.subject import Subject
from ml_playground.analysis.states import token_table

NEXT = "next"
"""The field with the label of the first token of the target."""

_OWN = {"prompt", "target", "kind", "length", NEXT}
_FEW = 20  # up to so many different numbers are categories
_SHOWN_TOKENS = 1000  # of a vocabulary


def halves(text: str, subject: Subject) -> tuple[str, str]:
    """A text in two, where a token ends: at the blank that is nearest to its middle, if possible.

    It is cut after the blank where the tokens allow it, so that the one to be predicted next begins a word, otherwise
    before it, as many tokenizers join a blank and the word after it.
    """
    middle = len(text) // 2
    blanks = [place for place, character in enumerate(text) if character.isspace()]
    nearest = min(blanks, key=lambda place: abs(place - middle), default=middle)
    ends = [*_token_ends(text, subject), middle]
    for cut in (nearest + 1, nearest, *sorted(ends, key=lambda place: abs(place - middle))):
        if 0 < cut < len(text) and subject.passage(text[:cut], text[cut:]).is_divided:
            return text[:cut], text[cut:]
    return "", text


def _token_ends(text: str, subject: Subject) -> list[int]:
    """After how many characters of a text a token ends, if its tokens stand for each of its bytes."""
    characters = accumulate(len(character.encode()) for character in text)
    places = {size: place for place, size in enumerate(characters, 1)}
    ids = subject.passage(text, "").ids
    return [places[size] for size in accumulate(subject.text_bytes([token]) for token in ids) if size in places]


def texts(examples: Sequence[Example], about: str, subject: Subject) -> Dataset:
    """Texts, of which the first half is the prompt and the second what truly follows.

    Args:
        examples: the texts.
        about: what the page says of them.
        subject: the run by whose tokens `NEXT` and `length` are.
    """
    classes = subject.labels() if subject.tokenizer.vocab_size <= CLASSES else None
    rows: list[types.JsonDict] = []
    for example in examples:
        prompt, target = halves(example.text, subject)
        passage = subject.passage(prompt, target)
        row: types.JsonDict = {"prompt": prompt, "target": target, "kind": example.kind, "length": len(passage.ids)}
        if classes is not None and passage.is_divided:  # otherwise nothing is known to be true
            row[NEXT] = classes[passage.ids[passage.target]]
        rows.append(row)
    names = sorted({name for example in examples for name in example.fields})
    spec: dict[str, types.LitType] = {"prompt": types.TextSegment(), "target": types.TextSegment()}
    for name in names:
        field = f"{name} (field)" if name in _OWN else name
        values = [example.fields.get(name, "") for example in examples]
        spec[field], shown = _column(values)
        for row, value in zip(rows, shown, strict=True):
            row[field] = value
    spec["kind"] = types.CategoryLabel(vocab=sorted({example.kind for example in examples}))
    spec["length"] = types.Scalar(max_val=max((row["length"] for row in rows), default=1))
    if classes is not None:
        spec[NEXT] = types.CategoryLabel(vocab=classes, required=False)
    return Dataset(spec, rows, about)


def _column(values: Sequence[str]) -> tuple[types.LitType, Sequence[str | float]]:
    """The type and the values of a field: many different numbers are a scale, all else are categories."""
    different = sorted(set(values))
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if numbers and len(different) > _FEW and all(map(math.isfinite, numbers)):
        return types.Scalar(min_val=min(numbers), max_val=max(numbers)), numbers
    return types.CategoryLabel(vocab=different), values


def vocabulary(subject: Subject, examples: Sequence[Example]) -> Dataset:
    """The embeddings of the tokens of a run, the most frequent ones of `examples` first, at most 1,000."""
    counts = Counter(token for example in examples for token in subject.passage(example.text, "").ids)
    known = range(subject.tokenizer.vocab_size)
    shown = sorted(known, key=lambda token: (-counts[token], token))[:_SHOWN_TOKENS]
    names = subject.tokens(shown)
    rows: list[types.JsonDict] = [
        {"token": name, "id": str(token), "count": counts[token], "embedding": vector}
        for name, token, vector in zip(names, shown, _short(token_table(subject.model)[shown]), strict=True)
    ]
    spec = {
        "token": types.TextSegment(),
        "id": types.CategoryLabel(),
        "count": types.Scalar(max_val=max(counts.values(), default=1)),
        "embedding": types.Embeddings(),
    }
    return Dataset(spec, rows, f"the embeddings of the tokens of {subject.name}, the most frequent ones first")


def _short(table: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The same numbers with few digits: all of them are sent."""
    largest = float(np.abs(table).max(initial=0.0)) or 1.0
    return table.astype(np.float64).round(4 - math.floor(math.log10(largest)))
