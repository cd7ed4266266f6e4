from hypothesis import given
from hypothesis import strategies as st

from ml_playground.data.split import split_by_document, split_by_position

fractions = st.floats(0.01, 0.99)


def test_position_cuts_where_nanogpt_does() -> None:
    text = "x" * 1_115_394
    train, val = split_by_position(text, 0.1)
    assert (len(train), len(val)) == (1_003_854, 111_540)


@given(st.text(), fractions)
def test_position_keeps_the_text_whole(text: str, fraction: float) -> None:
    train, val = split_by_position(text, fraction)
    assert train + val == text


@given(st.lists(st.text()), fractions)
def test_documents_go_to_either_side_in_their_order(documents: list[str], fraction: float) -> None:
    train, val = split_by_document(documents, fraction)
    assert sorted(train + val) == sorted(documents)
    assert not set(train) & set(val)
    for side in (train, val):
        assert side == [document for document in documents if document in set(side)]


@given(st.lists(st.text(), min_size=1, unique=True), fractions)
def test_validation_gets_its_share_of_documents_rounded_up(documents: list[str], fraction: float) -> None:
    _, val = split_by_document(documents, fraction)
    assert 0 <= len(val) - len(documents) * fraction < 1


@given(st.lists(st.text()), fractions)
def test_which_side_a_document_is_on_depends_on_no_order(documents: list[str], fraction: float) -> None:
    _, val = split_by_document(documents, fraction)
    _, val_of_sorted = split_by_document(sorted(documents), fraction)
    assert set(val) == set(val_of_sorted)


def test_the_split_is_the_same_on_every_machine() -> None:
    assert split_by_document(["one", "two", "three", "four"], 0.25) == (["one", "two", "three"], ["four"])
