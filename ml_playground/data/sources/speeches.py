"""Speeches from a CSV table, one row at a time. Columns are found by the names that they usually have."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.sources.base import Documents, OnRead
from ml_playground.errors import DataError

if TYPE_CHECKING:
    from ml_playground.data.document import Document, Structure
    from ml_playground.data.text import TextFile

Keeping = Literal["keep", "tag", "drop"]

_CHAIR = "<chair>"
_INTERJECTION, _END_OF_INTERJECTION = "<interjection>", "</interjection>"

# The usual names, likelier ones first, without regard to case, spaces and signs.
_NAMES = {
    "text": "text speech content rede transcript transkript speechcontent speechtext redetext redeinhalt utterance "
    "aussage redebeitrag beitrag wortbeitrag inhalt body",
    "speaker": "speaker speakername redner rednerin rednername sprecher sprechername fullname politician abgeordneter",
    "first_name": "firstname speakerfirstname vorname givenname forename",
    "last_name": "lastname speakerlastname nachname familienname familyname surname name",
    "party": "party partei fraktion faction partyname parteiname politicalgroup parliamentarygroup",
    "date": "date datum day tag sitzungsdatum speechdate",
    "year": "year jahr",
    "topic": "topic thema title titel subject agendaitem agenda tagesordnungspunkt top",
    "interjection": "interjection zwischenruf zuruf isinterjection",
    "chair": "chair ischair sitzungsleitung vorsitz presiding",
}
_YES = {"true", "1", "1.0", "1,0", "yes", "ja", "wahr", "t", "y", "j"}
_NO = {"", "false", "0", "0.0", "0,0", "no", "nein", "falsch", "f", "n", "na", "nan", "none", "null"}
_MISSING = {"", "na", "nan", "none", "null"}  # as other programs write what they do not know
_IN_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")

Row = Mapping[str, str]


class Speeches(Documents):
    """Each speech of one CSV table is a document: a row, or the rows between which a column says interjections are."""

    endings = (".csv", ".tsv")
    one_file = True
    fields = ("speaker", "party", "year", "topic")
    wrapping = ("<speech>", "</speech>")

    interjections: Keeping = Field(
        "keep",
        description="interjections stay in the speech as text (`keep`), between tokens of their own (`tag`), or are "
        "left out (`drop`)",
    )
    chair: Keeping = Field(
        "keep",
        description="the chair's turns are speeches like others (`keep`), have a token (`tag`), or are left out "
        "(`drop`)",
    )

    @property
    def tags(self) -> dict[str, list[str]]:
        """See `SourceConfig`."""
        known = {"chair": [_CHAIR], "interjections": [_INTERJECTION, _END_OF_INTERJECTION]}
        return {option: tokens for option, tokens in known.items() if getattr(self, option) == "tag"}

    def columns(self, file: "TextFile") -> dict[str, str]:
        """See `Source`."""
        return SpeechTable(file).columns

    def documents(self, file: "TextFile", config: PrepareConfig, on_read: OnRead) -> "Iterator[Document]":
        """See `Documents` and `SpeechTable.documents`."""
        from ml_playground.data.document import Structure

        return SpeechTable(file).documents(self, Structure.of(config), on_read)


class SpeechTable:
    """A table whose rows are speeches, or the parts of speeches between interjections.

    Attributes:
        columns: what was found, each with the name of its column.
    """

    def __init__(self, file: "TextFile") -> None:
        """Read the header. Raises DataError if it names no column with text, or two that may be the same."""
        from ml_playground.data.sources.tables import find_header

        self._file = file
        self._header = find_header(file, lambda names: "text" in _candidates(names))
        candidates = _candidates(self._header.names)
        for what, places in candidates.items():
            if len(places) > 1:
                names = " and ".join(repr(self._header.names[place]) for place in places)
                raise DataError(
                    f"{file.path}:{self._header.begins}: {names} may both be the column of {what}. Rename those that "
                    "are not."
                )
        self._places = {what: places[0] for what, places in candidates.items()}
        self.columns = find_columns(self._header.names)
        if "text" not in self.columns:
            raise self._textless()

    def _textless(self) -> DataError:
        from ml_playground.data.sources.tables import header_below

        there = ", ".join(_tidy(name) for name in self._header.names if name.strip())
        below = header_below(self._file, self._header.delimiter, lambda names: "text" in _candidates(names))
        above = f" Line {below} may be the one that names them: remove what is above it." if below else ""
        return DataError(
            f"{self.path}: no column with text was found among {there or 'none'}. Name one of "
            f"them {', '.join(_NAMES['text'].split()[:5])} or the like, in the first line.{above}"
        )

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    def documents(self, options: Speeches, structure: "Structure", on_read: OnRead) -> "Iterator[Document]":
        """The speeches in their order.

        Where a column tells interjections, speeches come in parts: rows of one speaker that follow each other, alike in
        all that is known of them, and the interjections between them, are one speech. What is called out while the
        chair has the word goes where the chair's words go. The bytes of a speech are those of its rows' texts, with a
        line end for each.

        Raises:
            DataError: a row has more or fewer fields than the first line, or says neither yes nor no where it must.
        """
        in_parts = "interjection" in self.columns
        speech: list[str] = []
        size = 0
        of_whom: Row | None = None
        dropping = False  # what is called out now
        for line, row in self._rows(on_read):
            text = structure.stripped(row["text"]).strip()
            is_chair = self._says_yes(row, "chair", line)
            if self._says_yes(row, "interjection", line):
                if text and options.interjections != "drop" and not dropping:
                    is_tagged = options.interjections == "tag"
                    speech.append(f"{_INTERJECTION}{text}{_END_OF_INTERJECTION}" if is_tagged else text)
                    size += _size(row)
                continue
            dropping = is_chair and options.chair == "drop"
            if not text or dropping:
                continue
            goes_on = in_parts and of_whom is not None and bool(_whose(row)) and _whose(row) == _whose(of_whom)
            if speech and of_whom is not None and not goes_on:
                yield self._document(speech, of_whom, options, size)
                speech, size = [], 0
            speech.append(text)
            size += _size(row)
            of_whom = row
        if speech:
            yield self._document(speech, of_whom or {}, options, size)

    def _document(self, parts: Iterable[str], row: Row, options: Speeches, size: int) -> "Document":
        from ml_playground.data.document import Document

        names = (row.get("first_name", ""), row.get("last_name", ""))
        year = _YEAR.search(row.get("year") or row.get("date", ""))
        known = {
            "speaker": _known(row.get("speaker", "")) or _known(" ".join(name for name in names if _known(name))),
            "party": _known(row.get("party", "")),
            "year": "" if year is None else year[0],
            "topic": _known(row.get("topic", "")),
        }
        is_chair = row.get("chair", "").strip().lower() in _YES
        return Document(
            "\n".join(parts),
            {name: value for name, value in known.items() if value},
            before=_CHAIR if is_chair and options.chair == "tag" else "",
            raw_bytes=size,
        )

    def _rows(self, on_read: OnRead) -> Iterator[tuple[int, Row]]:
        """Each row's values by what they are, and the number of the line on which it ends."""
        from ml_playground.data.sources.tables import rows

        for line, values in rows(self._file, self._header, on_read):
            yield line, {what: values[place] for what, place in self._places.items()}

    def _says_yes(self, row: Row, what: str, line: int) -> bool:
        value = row.get(what, "").strip().lower()
        if value not in _YES | _NO:
            raise DataError(f"{self.path}:{line}: {self.columns[what]} says {value!r}, neither true nor false.")
        return value in _YES


def _size(row: Row) -> int:
    """The bytes of a row's text and of its line end."""
    return len(row["text"].encode()) + 1


def find_columns(header: Sequence[str]) -> dict[str, str]:
    """What the columns of a table hold: `text`, `speaker`, `party` and so on, each with the column's name."""
    return {what: _tidy(header[places[0]]) for what, places in _candidates(header).items()}


def _candidates(header: Sequence[str]) -> dict[str, list[int]]:
    """For all that is known of a speech, the places of the columns that have the likeliest of its usual names.

    A name counts without what is in brackets and below its first line only where no column has a usual name as it is.
    """
    whole = [_plain(name) for name in header]
    short = [_plain("".join(_IN_BRACKETS.sub("", name).strip().splitlines()[:1])) for name in header]
    found: dict[str, list[int]] = {}
    for what, names in _NAMES.items():
        known = ([place for place, each in enumerate(ways) if each == name]
                 for ways in (whole, short) for name in names.split())  # fmt: skip
        if places := next(filter(None, known), None):
            found[what] = places
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _tidy(name: str) -> str:
    return " ".join(name.split())


def _whose(row: Row) -> tuple[str, ...]:
    """What the parts of one speech have in common; nothing where no speaker is known."""
    who = [row.get(what, "").strip() for what in ("speaker", "first_name", "last_name")]
    others = (row.get(what, "") for what in ("party", "date", "year", "topic", "chair"))
    return (*who, *others) if any(who) else ()


def _known(value: str) -> str:
    """A value in one line; nothing where it says that it is missing."""
    value = " ".join(value.split())
    return "" if value.lower() in _MISSING else value
