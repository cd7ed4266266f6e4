"""Random tables, dialects and damage as CSV files."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.preparing import examples, prepared

NAMES = ["text", "Text", "Speech\n(full text)", "speaker", "Redner", "party", "date", "interjection", "Chair", "id", "",
         " ", "x,y", 'a "quoted" name', "topic"]  # fmt: skip
cells = st.text(st.sampled_from("ab \n\r,;\t|\"'=01äß.\x00\x1e\u2028"), max_size=12) | st.sampled_from(
    ["", "0", "1", "true"]
)
plain_cells = st.text(st.sampled_from('abcdef ghijkläöü,;|"\n'), min_size=1, max_size=30).filter(
    lambda cell: cell.strip()
)
before = st.sampled_from(["", "\n\n", "sep=;\n", '"sep=,"\r\n', "A title\n", ";;\n", " \n"])
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
ends = st.sampled_from(["\n", "\r\n", "\r"])
delimiters = st.sampled_from(",;\t|")


def written(rows: list[list[str]], delimiter: str, end: str, quoting: int) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


tables = st.builds(
    written,
    st.lists(st.lists(cells, min_size=1, max_size=5), max_size=8).flatmap(
        lambda rows: st.lists(st.sampled_from(NAMES), min_size=1, max_size=5).map(lambda header: [header, *rows])
    ),
    delimiters,
    ends,
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
damage = st.tuples(st.integers(0, 1000), st.binary(max_size=3))


@given(before, tables | st.text(max_size=80), encodings, damage, st.sampled_from(["auto", "utf-8", "cp1252"]))
@examples(600)
def test_any_table_is_prepared_or_refused(
    above: str, table: str, encoding: str, harm: tuple[int, bytes], stated: str
) -> None:
    raw = (above + table).encode(encoding, "ignore")
    at = harm[0] % (len(raw) + 1)
    prepared({"a.csv": raw[:at] + harm[1] + raw[at:]}, source="speeches", encoding=stated)


@given(
    st.lists(plain_cells, min_size=12, max_size=20, unique=True),
    delimiters,
    ends,
    st.sampled_from(["", "\n\n", "sep"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(0, 2),
)
@examples(250)
def test_sound_tables_are_read_whatever_their_dialect(
    texts: list[str], delimiter: str, end: str, above: str, encoding: str, unnamed: int
) -> None:
    """Each text comes back as it was, whatever is in it."""
    texts = [f"{index} {text}" for index, text in enumerate(texts)]
    rows = [
        ["id", "Speech\n(full)", *[""] * unnamed],
        *([str(index), text, *[""] * unnamed] for index, text in enumerate(texts)),
    ]
    quoting = csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL  # then the library does not quote other line ends
    above = f"sep={delimiter}{end}" if above == "sep" else above
    raw = (above + written(rows, delimiter, end, quoting)).encode(encoding)
    found = prepared({"a.csv": raw}, source="speeches", encoding="auto")
    assert found is not None
    start = found.tokenizer.start_id
    documents: set[str] = set()
    for side in (found.train, found.val):
        for part in found_parts(side.tolist(), start):
            documents.add(found.tokenizer.decode(part))
    assert documents == {text.strip() for text in texts}


def found_parts(ids: list[int], start: int | None) -> list[list[int]]:
    parts: list[list[int]] = []
    for token in ids:
        if token == start:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
