"""How varied texts are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

REPEATED = 4  # words of a passage that counts as repeated
_FREQUENT = 5


@dataclass(frozen=True)
class Variety:
    """The variety of some texts.

    Attributes:
        texts: how many there are.
        empty: share of them without a word.
        unique: different ones, as a share of all.
        words: number of words that the shares of different n-grams are of: they fall as a text gets longer.
        distinct: different 1-, 2- and 3-grams of words as a share of all (Li et al. 2016, "A Diversity-Promoting
            Objective Function for Neural Conversation Models"); None where there are none.
        repetition: share of a text's 4-grams of words that have occurred in it before, of all texts together; None
            where there are none.
        frequent: the most frequent texts that occur more than once, with their number.
    """

    texts: int
    empty: float
    unique: float
    words: int
    distinct: list[float | None]
    repetition: float | None
    frequent: list[tuple[str, int]]


def count_words(texts: Sequence[str]) -> int:
    """How many words all texts have together."""
    return sum(len(text.split()) for text in texts)


def variety(texts: Sequence[str], words: int) -> Variety:
    """The variety of `texts`, at least one, whose n-grams are taken from their first `words` words together."""
    split = [text.split() for text in texts]
    counts = Counter(texts)
    return Variety(
        texts=len(texts),
        empty=sum(not each for each in split) / len(texts),
        unique=len(counts) / len(texts),
        words=min(words, sum(map(len, split))),
        distinct=[_distinct(_first(split, words), length) for length in (1, 2, 3)],
        repetition=_repetition(split),
        frequent=[(text, count) for text, count in counts.most_common(_FREQUENT) if count > 1],
    )


def _first(split: Sequence[list[str]], words: int) -> list[list[str]]:
    """The first `words` words of all texts together."""
    kept: list[list[str]] = []
    for text in split:
        kept.append(list(islice(text, words)))
        words -= len(kept[-1])
    return kept


def _ngrams(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def _distinct(split: Sequence[list[str]], length: int) -> float | None:
    grams = [gram for words in split for gram in _ngrams(words, length)]
    return len(set(grams)) / len(grams) if grams else None


def _repetition(split: Sequence[list[str]]) -> float | None:
    grams = [_ngrams(words, REPEATED) for words in split]
    total = sum(map(len, grams))
    return sum(len(each) - len(set(each)) for each in grams) / total if total else None
