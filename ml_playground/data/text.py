"""Raw text as a stream of pieces: read as often as it is needed, never held whole."""

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_playground.errors import DataError

_BLOCK = 2**18  # bytes read at once


# A letter or digit before a line end, anything but a space before a space: tiktoken's encodings all cut a text there
# first, and look neither back nor further ahead. Texts without spaces have the marks at least.
_SEPARABLE = re.compile(r"[^\W_](?=[\n。，、])|\S(?= )")


class _UndecodableError(Exception):
    """Bytes that are not text in the encoding that was tried; the message says where."""


@dataclass(frozen=True)
class TextFile:
    """A file and the encoding that it is in, the name of a Python codec."""

    path: Path
    encoding: str

    @classmethod
    def find(cls, path: Path, encoding: str) -> "TextFile":
        """The file in `encoding`, or for `auto` UTF-16 if a mark says so, else UTF-8 if it is, else Windows-1252.

        Raises:
            DataError: `auto`, and it is none of them; names the first offending byte.
        """
        if encoding != "auto":
            return cls(path, encoding)
        with path.open("rb") as file:
            mark = file.read(2)
        candidates = ["utf-16"] if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else ["utf-8", "cp1252"]
        failures: list[str] = []
        for candidate in candidates:
            try:
                for _ in _decode(path, candidate, lambda _: None):
                    pass
            except _UndecodableError as error:
                failures.append(str(error))
            else:
                return cls(path, candidate)
        raise _not_text(path, "; ".join(failures), tried=("auto", *candidates))

    def pieces(self, on_read: Callable[[int], object] = lambda _: None) -> Iterator[str]:
        r"""The text, with `\n` as its line ends and no byte order mark.

        Args:
            on_read: is told how many bytes were read since it was told last.

        Raises:
            DataError: the bytes are not text in that encoding; names the first offending byte.
        """
        try:
            yield from _decode(self.path, self.encoding, on_read)
        except _UndecodableError as error:
            raise _not_text(self.path, str(error), tried=(self.encoding,)) from error


def joined(files: Sequence[TextFile], on_read: Callable[[int], object] = lambda _: None) -> Iterator[str]:
    """One text of all files; a file that does not end its last line gets a line end before the next."""
    last = "\n"
    for file in files:
        for index, piece in enumerate(file.pieces(on_read)):
            if index == 0 and last != "\n":
                yield "\n"
            yield piece
            last = piece[-1]


def lines(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The lines of a text that are not blank, without their ends, some at a time."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield [line for line in whole if line.strip()]
    if rest.strip():
        yield [rest]


def separable(pieces: Iterable[str], size: int = _BLOCK) -> Iterator[str]:
    """The same text in pieces of about `size` characters whose tokens together are those of the whole text.

    A text that offers no place to cut stays in one piece.
    """
    rest, searched = "", size
    for piece in pieces:
        rest += piece
        while cut := _SEPARABLE.search(rest, searched - 1):
            yield rest[: cut.end()]
            rest, searched = rest[cut.end() :], size
        searched = max(size, len(rest))
    if rest:
        yield rest


def _decode(path: Path, encoding: str, on_read: Callable[[int], object]) -> Iterator[str]:
    """Pieces of text, none of them empty."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    offset, first = 0, True
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            offset += len(block)
            on_read(len(block))
            try:
                text = decoder.decode(block, final=not block)
                text.encode()  # lone surrogates, which some codecs let through
            except UnicodeDecodeError as error:
                place = offset - len(error.object) + error.start
                raise _UndecodableError(
                    f"byte {error.object[error.start]:#04x} at offset {place:,} is not {encoding}"
                ) from error
            except UnicodeEncodeError as error:
                raise _UndecodableError(f"half of a {encoding} pair before the byte at offset {offset:,}") from error
            except UnicodeError as error:  # UTF-16 or UTF-32 without a mark that says in which order their bytes come
                raise _UndecodableError(str(error)) from error
            piece = line_ends.decode(text, final=not block)
            if first and piece:
                piece, first = piece.removeprefix("\ufeff"), False
            if piece:
                yield piece
            if not block:
                return


def _not_text(path: Path, why: str, *, tried: Sequence[str]) -> DataError:
    others = " or ".join(f'"{name}"' for name in ("auto", "cp1252", "latin-1") if name not in tried)
    return DataError(f"{path}: {why}. Set [prepare] encoding to what the file is in, such as {others}.")
