"""Passages that occur in a text, against a search by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_playground.analysis import copying
from ml_playground.analysis.copying import Copied, Corpus

Ids = list[int]


def occurs(passage: Ids, text: Ids) -> bool:
    return any(text[at : at + len(passage)] == passage for at in range(len(text) - len(passage) + 1))


def longest(text: Ids, corpus: Ids) -> Copied:
    for length in range(len(text), 0, -1):
        for start in range(len(text) - length + 1):
            if occurs(text[start : start + length], corpus):
                return Copied(length, start)
    return Copied(0, 0)


def corpus_of(ids: Ids) -> Corpus:
    return Corpus(np.array(ids, dtype=np.uint16))


def arrays(texts: list[Ids]) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return [np.array(text, dtype=np.int64) for text in texts]


def ids(size: int, *, vocabulary: int) -> st.SearchStrategy[Ids]:
    return st.lists(st.integers(0, vocabulary - 1), max_size=size)


corpora = st.integers(1, 4).flatmap(
    lambda vocabulary: st.tuples(
        ids(60, vocabulary=vocabulary), st.lists(ids(30, vocabulary=vocabulary + 1), max_size=4)
    )
)


@pytest.fixture(params=[3, 16, 2**16], autouse=True, scope="module")
def _chunks(request: pytest.FixtureRequest) -> object:
    patch = pytest.MonkeyPatch()
    patch.setattr(copying, "_CHUNK", request.param)
    yield
    patch.undo()


@settings(deadline=None)
@given(corpora)
def test_the_longest_passage_is_that_of_a_search_by_brute_force(made: tuple[Ids, list[Ids]]) -> None:
    corpus, texts = made
    assert corpus_of(corpus).longest(arrays(texts)) == [longest(text, corpus) for text in texts]


@settings(deadline=None)
@given(corpora, st.integers(1, 12))
def test_windows_are_counted_as_by_brute_force(made: tuple[Ids, list[Ids]], length: int) -> None:
    corpus, texts = made
    expected = [
        [sum(occurs(text[at : at + each], corpus) for at in range(len(text) - each + 1)) for each in (length, 1)]
        for text in texts
    ]
    assert corpus_of(corpus).windows_found(arrays(texts), [length, 1]) == expected


@pytest.mark.parametrize("base", [1, 0xD6E8FEB86659FD93])
def test_equal_hashes_are_compared(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_BASE", base)  # with 1, all permutations of a window have its hash
    corpus = [5, 3, 1, 2, 4, 3, 2, 1]
    texts = [[1, 2, 3], [3, 2, 1], [4, 3, 1, 2], [2, 1, 5], []]
    assert corpus_of(corpus).longest(arrays(texts)) == [longest(text, corpus) for text in texts]
    assert corpus_of(corpus).windows_found(arrays(texts), [3]) == [[0], [1], [1], [0], [0]]


def test_texts_that_fool_hashes_modulo_a_power_of_two() -> None:
    """Thue and Morse's sequence and its complement have the same polynomial hash modulo 2^64, whatever the base."""
    thue = [0]
    while len(thue) < 2048:
        thue += [1 - each for each in thue]
    other = [1 - each for each in thue]
    (found,) = corpus_of(other).longest(arrays([thue]))
    assert found.length < 2048
    piece = thue[found.start : found.start + found.length]
    assert str(piece)[1:-1] in str(other)[1:-1]
