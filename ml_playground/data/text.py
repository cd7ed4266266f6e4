"""Raw text as a stream of pieces: read as often as needed, never held in memory as a whole."""

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_playground.data.encodings import Survey, Utf8Evidence, by_mark, is_plain, wide, with_one_byte
from ml_playground.data.folders import require_file
from ml_playground.errors import DataError
from ml_playground.utils.model_folder import is_lfs_pointer

_BLOCK = 2**18  # bytes read at once
_HEAD = 2**16  # bytes by which an encoding is guessed
_SOME = 16  # bytes that are enough to tell text in ASCII from text in UTF-16
_BYTE_ORDER_MARK = "\ufeff"  # within a text too, where files were put together


_BLANKS, _LONG_RUN = re.compile(r"\s+"), 2**16
# A letter or digit before a line end, anything but a space before a space: tiktoken's encodings all cut a text there
# first, and look neither back nor further ahead. Texts without spaces have the marks at least.
_SAFE_CUT = re.compile(r"[^\W_](?=[\n。，、])|\S(?= )")


class _UndecodableError(Exception):
    """Bytes that are not text in the encoding that was tried; the message says where."""


@dataclass(frozen=True)
class TextFile:
    """A file and the encoding that it is in, the name of a Python codec.

    Attributes:
        doubts: what looks wrong, such as characters that no text should hold, where it is too little to refuse it.
    """

    path: Path
    encoding: str
    doubts: str = ""

    @classmethod
    def find(cls, path: Path, encoding: str) -> "TextFile":
        """The file in `encoding`, or for `auto` UTF-16 or UTF-32 if it is, else UTF-8 if it is, else Windows-1252.

        Raises:
            DataError: there is no such file, or it is none of them, or evidently text in another encoding.
        """
        require_file(path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if is_lfs_pointer(head):
            raise DataError(f"{path} is a Git LFS pointer, not the text itself. Run 'git lfs pull' in {path.parent}.")
        guess = by_mark(head) or wide(head)
        candidates = [encoding] if encoding != "auto" else ["utf-8", "cp1252"] if guess is None else [guess]
        failures: list[str] = []
        for candidate in candidates:
            _refuse_utf8_in_disguise(path, candidate, head, encoding)
            try:
                survey = _survey(path, candidate)
            except _UndecodableError as error:
                failures.append(str(error))
                continue
            if survey.is_encoded_twice and codecs.lookup(candidate).name.startswith("utf"):
                between = "latin1" if survey.late_controls else "cp1252"
                raise DataError(
                    f"{path}: looks like UTF-8 that was read as {between} and encoded again: {survey.doubts()}. "
                    f"Undo that: iconv -f {candidate} -t {between} {path.name} converts it to UTF-8."
                )
            refusal = survey.refusal(candidate)
            if refusal is None:
                return cls(path, candidate, survey.doubts())
            failures.append(refusal[0])
            guess = refusal[1] or guess
        raise _not_text(path, "; ".join(failures), tried=(encoding, *candidates), guess=guess)

    def pieces(self, on_read: Callable[[int], object] = lambda _: None) -> Iterator[str]:
        r"""The text, with `\n` as its line ends and no byte order marks.

        Args:
            on_read: is told how many bytes were read since it was told last.

        Raises:
            DataError: the bytes are not text in that encoding; names the first offending byte.
        """
        try:
            yield from _decode(self.path, self.encoding, on_read)
        except _UndecodableError as error:
            raise _not_text(self.path, str(error), tried=(self.encoding,)) from error


def joined(files: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, bool]]:
    """One text of several files, whose pieces come with the index of the file; whether each piece was added here.

    A file that does not end its last line gets a line end before the next, as part of that.
    """
    before, last = -1, "\n"
    for index, piece in files:
        if index != before and last != "\n":
            yield index, "\n", True
        yield index, piece, False
        before, last = index, piece[-1]


def whole_lines(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The lines of a text with their ends, some at a time; what follows the last line end, if anything, is one."""
    rest: list[str] = []  # of a line that spans pieces, however many
    for piece in pieces:
        *whole, last = piece.split("\n")
        if whole:
            whole[0] = "".join([*rest, whole[0]])
            yield [f"{line}\n" for line in whole]
            rest = []
        rest.append(last)
    if any(rest):
        yield ["".join(rest)]


def safe_chunks(pieces: Iterable[str], size: int = _BLOCK) -> Iterator[str]:
    """The same text in pieces of about `size` characters whose tokens together are those of the whole text.

    A text that offers no place to cut stays in one piece.
    """
    rest, searched = "", size
    for piece in pieces:
        rest += piece
        while cut := _SAFE_CUT.search(rest, searched - 1):
            yield rest[: cut.end()]
            rest, searched = rest[cut.end() :], size
        searched = max(size, len(rest))
    if rest:
        yield rest


def in_short_blanks(text: str) -> Iterator[str]:
    """The same text in pieces without very long runs of blanks; a blank before a letter stays with it."""
    done = 0
    for run in _BLANKS.finditer(text):
        last = run.end() - 1
        for cut in range(run.start() + _LONG_RUN, last, _LONG_RUN):
            yield text[done:cut]
            done = cut
        if last - run.start() > _LONG_RUN:
            yield text[done:last]
            done = last
    yield text[done:]


def _decode(path: Path, encoding: str, on_read: Callable[[int], object]) -> Iterator[str]:
    """Pieces of text, none of them empty."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
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
            piece = line_ends.decode(text.replace(_BYTE_ORDER_MARK, ""), final=not block)
            if piece:
                yield piece
            if not block:
                return


def _survey(path: Path, encoding: str) -> Survey:
    """What is strange about a whole file, read like this."""
    survey = Survey()
    for piece in _decode(path, encoding, lambda _: None):
        survey.add(piece)
    return survey


def _refuse_utf8_in_disguise(path: Path, encoding: str, head: bytes, stated: str) -> None:
    """Raises DataError if a file is evidently UTF-8, or mostly, and is to be read as something else."""
    codec = codecs.lookup(encoding).name
    if codec.startswith("utf-8"):
        return
    if by_mark(head) == "utf-8":
        raise _not_text(path, "begins with the mark of UTF-8", tried=(stated, encoding), guess="utf-8")
    if codec.startswith(("utf-16", "utf-32")):
        guess = wide(head) or ("utf-8" if len(head) >= _SOME and not by_mark(head) and is_plain(head) else None)
        if guess is not None and codec not in (guess, guess[:6]):
            raise _not_text(path, f"is not {encoding}", tried=(stated, encoding), guess=guess)
        return
    evidence = Utf8Evidence()
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            evidence.add(decoder.decode(block))
    evidence.add(decoder.decode(b"", final=True))
    if not evidence.is_evident:
        return
    if not evidence.invalid:
        raise _not_text(path, f"is UTF-8, not {encoding}", tried=(stated, encoding), guess="utf-8")
    with path.open("rb") as file:
        file.seek(evidence.first_invalid)
        byte = file.read(1)[0]
    bad, good = evidence.invalid, evidence.strong + evidence.weak
    others = f", and {bad - 1:,} others are not" if bad > 1 else ""
    raise DataError(
        f"{path}: byte {byte:#04x} at offset {evidence.first_invalid:,} is not utf-8{others}, "
        f'but {good:,} characters beyond ASCII are. Fix the file, then set [prepare] encoding to "utf-8"; '
        "iconv -c -f utf-8 -t utf-8 leaves such bytes out."
    )


def _not_text(path: Path, why: str, *, tried: Sequence[str], guess: str | None = None) -> DataError:
    with path.open("rb") as file:
        likely = with_one_byte(file.read(_HEAD))
    auto = ["auto"] if "cp1252" in likely else []
    known = [name for name in (guess, *auto, *likely) if name is not None and name not in tried]
    others = " or ".join(f'"{name}"' for name in ([guess] if guess in known else known))
    such_as = f", such as {others}" if others else ""
    return DataError(f"{path}: {why}. Set [prepare] encoding to the file's encoding{such_as}.")
