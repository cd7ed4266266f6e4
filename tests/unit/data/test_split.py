from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_playground.data.document import Document
from ml_playground.data.split import HashSplit, PositionSplit, Split
from ml_playground.errors import DataError

fractions = st.floats(0.01, 0.99)
documents_of_any_kind = st.lists(st.text(alphabet="abcdefgh", min_size=1), max_size=30)


def in_pieces(text: str, size: int = 7) -> Iterator[str]:
    for first in range(0, len(text), size):
        yield text[first : first + size]


def sides(split: Split) -> tuple[list[str], list[str]]:
    parts = list(split.parts())
    train, val = ([each.text for at, some in parts if at == side for each in some] for side in ("train", "val"))
    return train, val


def by_position(text: str, fraction: float) -> tuple[str, str]:
    train, val = sides(PositionSplit(lambda: ((0, piece) for piece in in_pieces(text)), fraction))
    return "".join(train), "".join(val)


def by_document(documents: list[str], fraction: float) -> tuple[list[str], list[str]]:
    halves = [list(map(Document, documents[:5])), list(map(Document, documents[5:]))]
    return sides(HashSplit(lambda: iter(halves), lambda document: document.text, fraction))


def test_position_cuts_where_nanogpt_does() -> None:
    train, val = sides(PositionSplit(lambda: iter([(0, "x" * 1_115_394)]), 0.1))
    assert (len("".join(train)), len("".join(val))) == (1_003_854, 111_540)


@given(st.text(min_size=1), fractions)
def test_position_keeps_the_text_whole(text: str, fraction: float) -> None:
    cut = int(len(text) * (1 - fraction))
    if 0 < cut < len(text):
        assert by_position(text, fraction) == (text[:cut], text[cut:])
    else:
        with pytest.raises(DataError, match="too little text to split"):
            by_position(text, fraction)


@given(documents_of_any_kind, fractions)
def test_documents_go_to_either_side_in_their_order(documents: list[str], fraction: float) -> None:
    different = len(set(documents))
    if different - -(-different * fraction // 1) < 1:
        with pytest.raises(DataError, match="too little text to split"):
            by_document(documents, fraction)
        return
    train, val = by_document(documents, fraction)
    assert sorted(train + val) == sorted(documents)
    assert not set(train) & set(val)
    for side in (train, val):
        assert side == [document for document in documents if document in set(side)]
    assert 0 <= len(set(val)) - different * fraction < 1
    assert set(by_document(sorted(documents), fraction)[1]) == set(val)


def test_the_split_is_the_same_on_every_machine() -> None:
    assert by_document(["one", "two", "three", "four"], 0.25) == (["one", "two", "three"], ["four"])
