"""CSV tables, as spreadsheets and programs write them: where the header is, and what is between its columns."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from ml_playground.data.text import TextFile, whole_lines
from ml_playground.errors import DataError

_DELIMITERS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # what Excel writes, and reads, before a table
_LONGEST = 2**24  # characters of a header; a quote that is never closed makes one of the whole file
_NEAR = 10  # records among which a header may be that has a title above it
_LARGEST_FIELD = 2**31 - 1  # what a C long holds on every system

csv.field_size_limit(_LARGEST_FIELD)  # texts are longer than what it takes for reasonable

OnRead = Callable[[int], object]


@dataclass(frozen=True)
class Header:
    """The first record of a table.

    Attributes:
        names: those of its columns; an empty one has no name.
        delimiter: what is between them.
        begins: the number of the line with which it begins.
    """

    names: list[str]
    delimiter: str
    begins: int

    @property
    def width(self) -> int:
        """Number of columns without those at the end that have no name."""
        return max((index + 1 for index, name in enumerate(self.names) if name.strip()), default=0)


def find_header(file: TextFile, fits: Callable[[list[str]], bool]) -> Header:
    """The header of a table, with the first delimiter that makes names of it which `fits` accepts.

    Blank lines before it are skipped, and so is a line such as `sep=;`, which decides. Where no delimiter makes names
    that fit, it is the one that occurs most.

    Raises:
        DataError: there is none, or it is not CSV.
    """
    _, first = next(_start(file), (0, ""))
    stated = _SEP.fullmatch(first.rstrip("\n"))
    likely = [stated[1]] if stated else sorted(_DELIMITERS, key=first.count, reverse=True)
    headers: list[Header] = []
    failure: csv.Error | None = None
    for delimiter in likely:
        try:
            header = next(_records(islice(_start(file), 1 if stated else 0, None), delimiter), None)
        except csv.Error as error:
            failure = failure or error
            continue
        if header is None:
            raise DataError(f"{file.path} is empty: its first line must name the columns.")
        if fits(header.names):
            return header
        headers.append(header)
    if not headers:
        raise DataError(f"{file.path}:1: not CSV from here on: {failure}.")
    return headers[0]


def header_below(file: TextFile, delimiter: str, fits: Callable[[list[str]], bool]) -> int | None:
    """The line of a record that looks like a header with something above it, such as a title."""
    try:
        for index, record in enumerate(_records(_start(file), delimiter)):
            if index and fits(record.names) and len(record.names) > 1:
                return record.begins
            if index == _NEAR:
                break
    except csv.Error:
        pass
    return None


def rows(file: TextFile, header: Header, on_read: OnRead) -> Iterator[tuple[int, list[str]]]:
    """The records below the header, each with the number of the line on which it ends.

    Fields that have no column, or one without a name, may be there or not, as spreadsheets have it.

    Raises:
        DataError: a record has more or fewer fields than the header, or it is not CSV.
    """
    lines = numbered_lines(file, on_read)
    skipped = header.begins - 1
    for _ in range(skipped):
        next(lines)
    reader = csv.reader((line for _, line in lines), delimiter=header.delimiter, strict=True)
    begins = header.begins
    try:
        next(reader)
        begins = skipped + reader.line_num + 1
        for values in reader:
            begins = skipped + reader.line_num + 1
            if not values or values == [""]:
                continue
            if len(values) < header.width or any(value.strip() for value in values[len(header.names) :]):
                raise DataError(
                    f"{file.path}:{skipped + reader.line_num}: {len(values)} fields, but the first line names "
                    f"{header.width} columns. Quote texts that hold {header.delimiter!r}, quotes or line ends."
                )
            yield skipped + reader.line_num, values
    except csv.Error as error:
        raise DataError(f"{file.path}:{begins}: not CSV from here on: {error}.") from error


def numbered_lines(file: TextFile, on_read: OnRead) -> Iterator[tuple[int, str]]:
    """The lines of a file with their ends and numbers."""
    lines = chain.from_iterable(whole_lines(file.pieces(on_read)))
    return enumerate((line if line.endswith("\n") else f"{line}\n" for line in lines), start=1)


def _start(file: TextFile) -> Iterator[tuple[int, str]]:
    """Its first lines that are not blank, to the length of the longest header."""
    length = 0
    for number, line in numbered_lines(file, lambda _: None):
        if length or line.strip():
            yield number, line
        length += len(line)
        if length > _LONGEST:
            return


def _records(lines: Iterable[tuple[int, str]], delimiter: str) -> Iterator[Header]:
    """Each record in these lines that has anything in it."""
    begins = 0
    first = True

    def watched() -> Iterator[str]:
        nonlocal begins, first
        for number, line in lines:
            if first:
                begins, first = number, False
            yield line

    for names in csv.reader(watched(), delimiter=delimiter, strict=True):
        if any(name.strip() for name in names):
            yield Header(names, delimiter, begins)
        first = True
