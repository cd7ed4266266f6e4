"""Tables of speeches, and what of them is kept."""

from pathlib import Path
from typing import Any

import pytest

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.document import Document, Structure
from ml_playground.data.sources.speeches import Speeches, SpeechTable, find_columns
from ml_playground.data.text import TextFile
from ml_playground.errors import DataError

SPEAKGER = """\
Period,Session,Date,Chair,Interjection,Party,MPID,Speaker,Speech
20,73,2022-12-01,False,False,SPD,1,Dr. Eva Größe,Erster Teil.
20,73,2022-12-01,False,True,,,,(Beifall)
20,73,2022-12-01,False,False,SPD,1,Dr. Eva Größe,"Zweiter Teil, mit ""Zitat""."
20,73,2022-12-01,True,False,,,Präsidentin Bas,Vielen Dank.
20,73,2022-12-01,False,True,,,,(Heiterkeit)
20,73,2022-12-01,False,False,CDU/CSU,2,Max Müller,"Eine Rede
in zwei Zeilen."
"""


def options(**changes: Any) -> PrepareConfig:
    places = {"dataset_dir": Path("nowhere"), "raw_dir": Path("nowhere")}
    structure = changes.pop("add_structure_tokens", False)
    source = {"kind": "speeches", **changes}
    return PrepareConfig.model_validate({**places, "dataset": "d", "source": source, "add_structure_tokens": structure})


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> SpeechTable:
    path = tmp_path / "speeches.csv"
    path.write_bytes(text.encode(encoding))
    return SpeechTable(TextFile.find(path, "auto"))


def read(tmp_path: Path, text: str, **changes: Any) -> list[Document]:
    return documents_of(table(tmp_path, text), **changes)


def documents_of(speeches: SpeechTable, **changes: Any) -> list[Document]:
    config = options(**changes)
    assert isinstance(config.source, Speeches)
    return list(speeches.documents(config.source, Structure.of(config), lambda _: None))


def speaker(document: Document) -> str | None:
    return document.fields.get("speaker")


def test_parts_of_a_speech_and_what_was_called_out_between_them_are_one_document(tmp_path: Path) -> None:
    texts = [
        'Erster Teil.\n(Beifall)\nZweiter Teil, mit "Zitat".',
        "Vielen Dank.\n(Heiterkeit)",
        "Eine Rede\nin zwei Zeilen.",
    ]
    fields = [
        {"speaker": "Dr. Eva Größe", "party": "SPD", "year": "2022"},
        {"speaker": "Präsidentin Bas", "year": "2022"},
        {"speaker": "Max Müller", "party": "CDU/CSU", "year": "2022"},
    ]
    assert read(tmp_path, SPEAKGER) == [
        Document(text, known, raw_bytes=len(f"{text}\n".encode())) for text, known in zip(texts, fields, strict=True)
    ]


def test_interjections_are_tagged_or_dropped_by_config(tmp_path: Path) -> None:
    marked, *_ = read(tmp_path, SPEAKGER, interjections="tag")
    assert "Teil.\n<interjection>(Beifall)</interjection>\nZweiter" in marked.text
    assert all("(" not in document.text for document in read(tmp_path, SPEAKGER, interjections="drop"))


def test_the_chair_is_tagged_or_dropped_by_config(tmp_path: Path) -> None:
    changes = {"chair": "tag", "add_structure_tokens": True}
    structure = Structure.of(options(**changes))
    assert [structure.wrapped(document) for document in read(tmp_path, SPEAKGER, **changes)][1] == (
        "<speaker>Präsidentin Bas<year>2022<chair><speech>Vielen Dank.\n(Heiterkeit)</speech>"
    )
    assert [speaker(document) for document in read(tmp_path, SPEAKGER, chair="drop")] == ["Dr. Eva Größe", "Max Müller"]


def test_what_is_called_out_at_the_chair_goes_with_the_chair(tmp_path: Path) -> None:
    first, last = read(tmp_path, SPEAKGER, chair="drop")
    assert first.text == 'Erster Teil.\n(Beifall)\nZweiter Teil, mit "Zitat".'
    assert "Heiterkeit" not in last.text


def test_what_differs_in_anything_known_is_no_longer_the_same_speech(tmp_path: Path) -> None:
    rows = (
        "speaker,party,year,interjection,text\nA,X,2019,0,one\nA,X,2022,0,two\nA,Y,2022,0,three\n,,,0,four\n,,,0,five\n"
    )
    assert [row.text for row in read(tmp_path, rows)] == ["one", "two", "three", "four", "five"]


def test_a_whole_name_is_better_than_its_parts_where_it_is_stated(tmp_path: Path) -> None:
    rows = "speaker,first name,last name,text\nDr. A B,A,B,one\n,C,D,two\n"
    assert [speaker(row) for row in read(tmp_path, rows)] == ["Dr. A B", "C D"]


def test_a_delimiter_within_a_column_name_is_none(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "Rede;Redner, Partei\nWort;A\n")
    assert row.text == "Wort"


def test_a_speech_goes_on_after_the_chair_if_that_is_dropped(tmp_path: Path) -> None:
    again = SPEAKGER.replace("CDU/CSU,2,Max Müller", "SPD,1,Dr. Eva Größe")
    (whole,) = read(tmp_path, again, chair="drop", interjections="drop")
    assert whole.text == 'Erster Teil.\nZweiter Teil, mit "Zitat".\nEine Rede\nin zwei Zeilen.'
    assert len(read(tmp_path, again)) == 3


def test_without_a_column_of_interjections_each_row_is_a_document(tmp_path: Path) -> None:
    rows = read(tmp_path, "speaker,text\nA,one\nA,two\nB,\nB,three\n")
    assert [(speaker(row), row.text) for row in rows] == [("A", "one"), ("A", "two"), ("B", "three")]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Rede,Redner,Fraktion,Datum,Thema", {"text": "Rede", "speaker": "Redner", "party": "Fraktion"}),
        ("id,speech_content,First Name,last-name,faction", {"first_name": "First Name", "last_name": "last-name"}),
        ("Vorname,Nachname,Partei,Jahr,Transkript", {"party": "Partei", "year": "Jahr", "text": "Transkript"}),
        ("TEXT,Speech,NAME", {"text": "TEXT", "last_name": "NAME"}),
        ("Title,Transcript,Speaker,Speaker First Name", {"topic": "Title", "speaker": "Speaker"}),
    ],
)
def test_columns_are_found_by_the_names_that_they_usually_have(header: str, columns: dict[str, str]) -> None:
    found = find_columns(header.split(","))
    assert columns.items() <= found.items()


@pytest.mark.parametrize(
    ("date", "year"),
    [("2022-12-01", "2022"), ("01.12.2022", "2022"), ("20221201", "2022"), ("1. Dezember 1949", "1949"), ("?", None)],
)
def test_the_year_is_that_of_the_date(tmp_path: Path, date: str, year: str | None) -> None:
    (row,) = read(tmp_path, f"text,datum\nWort,{date}\n")
    assert row.fields.get("year") == year


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_other_delimiters_and_encodings_are_found(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(("Vorname", "Name", "Rede")) + "\r\n" + delimiter.join(("Jürgen", "Groß", "Schön."))
    (row,) = documents_of(table(tmp_path, text, "cp1252"))
    assert (speaker(row), row.text) == ("Jürgen Groß", "Schön.")


def test_what_other_programs_write_for_nothing_is_nothing(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "text,party,speaker,interjection,chair\nWort,NaN,None,,0.0\n")
    assert (row.fields, row.before) == ({}, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", r"no column with text was found among a, b\. Name one of them text, speech,"),
        ("", r"speeches\.csv is empty: its first line must name the columns"),
        ('text\none\n"two\nthree\n', r"speeches\.csv:3: not CSV from here on"),
        ("text,party\none,SPD\ntwo\n", r"speeches\.csv:3: 1 fields, but the first line names 2 columns"),
        ('text,party\n"one" two,SPD\n', r"speeches\.csv:2: not CSV"),
        ("text,interjection\none,perhaps\n", r"speeches\.csv:2: interjection says 'perhaps', neither true nor false"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read(tmp_path, text)


HEADER = '"Speaker","Speech\n(full text)","Date"\n'


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (HEADER + '"A","one","2020"\n', "utf-8"),
        ("\n\n \nSpeaker,Speech\nA,one\n\n", "utf-8"),
        (",,\nSpeaker,Speech,\nA,one,\n", "utf-8"),
        ("sep=;\nSpeaker;Speech\nA;one\n", "utf-8"),
        ('"sep=|"\n\nSpeaker|Speech\nA|one\n', "utf-8"),
        ("SEP=\t\r\nSpeaker\tSpeech\r\nA\tone\r\n", "utf-16"),
        ("Speaker,Speech,,\nA,one,,\n", "utf-8"),
        ("Speaker,Speech\nA,one,,\n", "utf-8"),
        ("Speaker,Speech,,\nA,one\n", "utf-8"),
        ("Speaker,Speech\rA,one\r", "utf-8"),
        ("Speaker,Speech\r\n\r\nA,one\r\n,\r\n", "utf-8-sig"),
        ("Speaker\tSpeech\nA\tone\n", "utf-16"),
        ('"Speaker, or chair";"Speech; as held"\nA;one\n'.replace("Speech; as held", "Speech"), "utf-8"),
        ('"x;y;z;w","Speaker","Speech"\n1,A,one\n', "utf-8"),
        (f'Speaker,Speech,"{"x" * 200_000}"\nA,one,1\n', "utf-8"),
        (
            "".join(f"column{index}," for index in range(20_000)) + "Speaker,Speech\n" + "," * 20_000 + "A,one\n",
            "utf-8",
        ),
        ("Speaker;Speech;Interjection;Chair\nA;one;0,0;0,0\n", "utf-8"),
        ("id,id,Speaker,Speech\n1,2,A,one\n", "utf-8"),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path: Path, text: str, encoding: str) -> None:
    rows = documents_of(table(tmp_path, text, encoding))
    assert [row.text for row in rows] == ["one"]
    assert speaker(rows[0]) in ("A", None)


def test_the_line_of_a_mistake_is_counted_from_the_start_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"speeches\.csv:6: 1 fields, but the first line names 3 columns"):
        read(tmp_path, "\n" + HEADER + '"A","one",2020\n\nlost\n')


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("id,Text,speaker,text", "'Text' and 'text' may both be the column of text"),
        ("text,text", "'text' and 'text' may both be the column of text"),
        ("Speech (a),Speech (b)", r"'Speech \(a\)' and 'Speech \(b\)' may both be the column of text"),
        ("text,Party,party ", "'Party' and 'party ' may both be the column of party"),
        ("text,First Name,first_name", "'First Name' and 'first_name' may both be the column of first_name"),
    ],
)
def test_two_columns_that_may_be_the_same_are_named(tmp_path: Path, header: str, names: str) -> None:
    with pytest.raises(DataError, match=rf"speeches\.csv:1: {names}\. Rename those that are not"):
        table(tmp_path, header + "\n" + ",".join("x" for _ in header.split(",")) + "\n")


def test_a_name_as_it_is_comes_before_one_with_something_in_brackets(tmp_path: Path) -> None:
    assert table(tmp_path, "Speech (raw),Speech\na,b\n").columns == {"text": "Speech"}


def test_a_title_above_the_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"among Speeches of 2020\..*Line 3 may be the one that names them"):
        read(tmp_path, "Speeches of 2020;;\n\nSpeaker;Speech;Date\nA;one;2020\n")


def test_a_quote_that_is_never_closed_in_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"speeches\.csv:1: not CSV|no column with text"):
        read(tmp_path, 'Speaker,"Speech\n' + "A,one\n" * 1000)


def test_a_speech_may_be_longer_than_csv_takes_for_reasonable(tmp_path: Path) -> None:
    (row,) = read(tmp_path, f"text\n{'lang ' * 50_000}\n")
    assert len(row.text) == 249_999


def test_the_published_table_is_read_whole(real_data: Path) -> None:
    found = SpeechTable(TextFile.find(real_data / "speakger" / "Bundestag.csv", "auto"))
    everything = documents_of(found)
    assert len(everything) == 983
    years = {document.fields.get("year") for document in everything}
    assert years <= {"2020", "2021", "2022"}
    assert sum(document.before == "<chair>" for document in documents_of(found, chair="tag")) > 300
    speech = next(document for document in everything if speaker(document) == "Andreas Jung")
    assert speech.fields.get("party") == "CDU/CSU"
    assert speech.text.startswith("Frau Präsidentin! Liebe Kolleginnen und Kollegen!")
