"""Signs of the encoding that a text is in, and of one that it was read in wrongly."""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_MARKS = (  # UTF-32's first: it begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_LATIN = re.compile(r"iso8859-\d+")  # as Python calls these codecs
_WESTERN = {"cp1252", "iso8859-1", "iso8859-15", "mac-roman", "cp850", "cp437"}

# What no text holds, unlike line ends, tabs, form feeds, escapes, overstrikes, and DOS's mark for the end of a file.
_CONTROLS = bytes([*range(1, 7), *range(0x0E, 0x1A), 0x7F])
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123))


def _as_byte(byte: int) -> str:
    """The characters that a byte is read as in Windows-1252 and in ISO-8859-1, for a class of a pattern."""
    return "".join({bytes([byte]).decode(codec, "ignore") for codec in ("cp1252", "latin-1")})


# What the bytes of one character of UTF-8 look like when they are read as Windows-1252.
_FOLLOWING = "".join(map(_as_byte, range(0x80, 0xC0)))
_TWICE = re.compile(f"[Â-ß][{_FOLLOWING}]|[à-ï][{_FOLLOWING}]{{2}}|[ð-ô][{_FOLLOWING}]{{3}}")
_MAY_FOLLOW = re.compile(r"[\xa0«»‹›‘’‚“”„…–—·.]|\s")  # a capital letter with an accent, in text that is sound

_MOST_STRANGE = 1e-3  # share of characters
_FEW = 3
_MOST_ACCENTED, _SOME_LETTERS = 0.4, 20  # share of letters; Icelandic has 0.15

CodePoints = npt.NDArray[np.uint32]


def by_mark(head: bytes) -> str | None:
    """The encoding that the byte order mark at the beginning of a file stands for, if there is one."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def wide(head: bytes) -> str | None:
    """The kind of UTF-16 or UTF-32 that bytes without a mark seem to be, if they do.

    `head` is the whole file, or a multiple of 4 bytes.

    Of the ways that make assigned characters of them, it is the one whose characters are from the fewest rows of 256:
    with its bytes swapped, a text is scattered over all of them.
    """
    found: list[tuple[bool, int, int]] = []
    if head.count(0) * 3 < len(head) and is_plain(head.replace(b"\0", b"")):  # as wide, half of it would be NULs
        return None
    for index, name in enumerate(_WIDE if b"\0" in head else ()):
        if len(head) % (4 if "32" in name else 2):
            continue
        try:
            text = codecs.getincrementaldecoder(name)().decode(head)
        except UnicodeDecodeError:
            continue
        points = code_points(text)
        there, printable = set(text), int(((points >= 9) & (points < 0x100)).sum())
        strange = sum(unicodedata.category(each) in ("Cn", "Co") or each == "\0" for each in there)
        if points.size and strange * 100 <= len(there) and printable * 4 >= int((points % 256 == 0).sum()):
            found.append(("16" in name, len(np.unique(points >> 8)), index))
    return _WIDE[min(found)[2]] if found else None


def is_plain(head: bytes) -> bool:
    """Whether bytes are ASCII or UTF-8 without any character that texts do not hold."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return head.translate(None, b"\0" + _CONTROLS) == head


def with_one_byte(head: bytes) -> list[str]:
    """The usual encodings with one byte for a character that may be that of a file which begins like this."""
    high = np.frombuffer(head, dtype=np.uint8)
    high = high[high >= 0x80]
    letters = high[high >= 0xC0]
    if 2 * (len(head) - len(head.translate(None, _LETTERS))) < len(letters) and len(high) < 1.1 * len(letters):
        # Not Latin letters. Small ones, which most are, stand in this half for Russian and Greek, in the other in KOI8.
        return ["cp1251", "cp1253"] if 2 * int((letters >= 0xE0).sum()) > len(letters) else ["koi8-r"]
    return [name for name in ("cp1252", "latin-1") if _fits(head, name)]


def _fits(head: bytes, encoding: str) -> bool:
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError:
        return False
    survey = Survey()
    survey.add(text)
    return survey.refusal(encoding) is None


def code_points(text: str) -> CodePoints:
    """The code points of a text; halves of pairs among them."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


@dataclass
class Survey:
    """What is strange about a text as it was read in some encoding."""

    characters: int = 0
    beyond_ascii: int = 0
    nuls: int = 0
    controls: int = 0  # of ASCII, but for those that texts hold
    late_controls: int = 0  # U+0080 to U+009F
    replaced: int = 0  # U+FFFD: somebody has read it wrongly before
    no_characters: int = 0  # such as a byte order mark with its bytes swapped
    letters: int = 0
    accented: int = 0
    twice: int = 0  # characters that seem to have been encoded as UTF-8 twice
    twice_certainly: Counter[str] = field(default_factory=Counter[str])
    _in_twice: int = 0  # characters of the text that these take
    strangers: Counter[str] = field(default_factory=Counter[str])

    def add(self, piece: str) -> None:
        """Take in the next piece of the text."""
        self.characters += len(piece)
        ascii_only = piece.encode("ascii", "ignore")
        self.nuls += ascii_only.count(0)
        self.letters += len(ascii_only) - len(ascii_only.translate(None, _LETTERS))
        if controls := len(ascii_only) - len(ascii_only.translate(None, _CONTROLS)):
            self.controls += controls
            self.strangers.update(chr(byte) for byte in ascii_only if byte in _CONTROLS)
        if piece.isascii():
            return
        points = code_points(piece)
        points = points[points >= 0x80]
        self.beyond_ascii += len(points)
        late = (points < 0xA0) & (points != 0x85)
        nothing = ((points & 0xFFFE) == 0xFFFE) | ((points >= 0xFDD0) & (points <= 0xFDEF))
        replaced = points == 0xFFFD
        self.late_controls += int(late.sum())
        self.no_characters += int(nothing.sum())
        self.replaced += int(replaced.sum())
        self.accented += int(((points >= 0xC0) & (points < 0x250)).sum())
        self.strangers.update(map(chr, points[late | nothing | replaced].tolist()))
        self._add_twice(piece)

    def _add_twice(self, piece: str) -> None:
        for found in _TWICE.findall(piece):
            once = decoded_once(found)
            if once is None:
                continue
            self.twice += 1
            self._in_twice += len(found)
            if found.startswith("â€") or not _MAY_FOLLOW.search(found, 1):
                self.twice_certainly[found] += 1

    @property
    def strange(self) -> int:
        """How many characters no text should hold."""
        return self.controls + self.late_controls + self.replaced + self.no_characters

    def refusal(self, encoding: str) -> tuple[str, str | None] | None:
        """Why the text was evidently read wrongly, and what to read it in where that is known."""
        codec = codecs.lookup(encoding).name
        if self.nuls:
            return f"holds {self.nuls:,} NUL characters when read as {encoding}", None
        if self.late_controls and _LATIN.fullmatch(codec):
            return f"holds characters that {encoding} has no letters for ({self.named()})", "cp1252"
        if self.no_characters and codec.startswith(("utf-16", "utf-32")):
            return f"changes the order of its bytes when read as {encoding} ({self.named()})", None
        if self.strange >= _FEW and self.strange > _MOST_STRANGE * self.characters:
            return f"{self.named()} are among its {self.characters:,} characters when read as {encoding}", None
        letters = self.letters + self.accented
        if codec in _WESTERN and self.accented >= _SOME_LETTERS and self.accented > _MOST_ACCENTED * letters:
            return f"{self.accented:,} of its {letters:,} letters have accents when read as {encoding}", None
        return None

    @property
    def is_encoded_twice(self) -> bool:
        """Whether most characters beyond ASCII are what UTF-8 becomes when it is read wrongly and encoded again."""
        certain = self.twice_certainly.total() >= _FEW  # é before a fixed space and » could be some by chance
        return certain and self.twice > self.beyond_ascii - self._in_twice

    def doubts(self) -> str:
        """What may be wrong with a text that is not refused, nothing where all is well."""
        found = [self.named()] if self.strange else []
        found += [
            f"{count:,} times {text!r}, which is {decoded_once(text)!r} encoded as UTF-8 twice"
            for text, count in self.twice_certainly.most_common(4)
        ]
        return ", ".join(found)

    def named(self) -> str:
        """The strange characters by their numbers, and how many there are of each."""
        most = self.strangers.most_common(4)
        more = ", ..." if len(self.strangers) > len(most) else ""
        return ", ".join(f"{count:,} times U+{ord(each):04X}" for each, count in most) + more


def decoded_once(text: str) -> str | None:
    """What `text` was before its UTF-8 was read as Windows-1252, or as ISO-8859-1 where that has no character.

    None where it is not such a text.
    """
    try:
        return b"".join(each.encode("latin-1" if "\x80" <= each < "\xa0" else "cp1252") for each in text).decode()
    except UnicodeError:
        return None


@dataclass
class Utf8Evidence:
    """How much of a file is UTF-8 that goes beyond ASCII, whatever the rest of it is.

    Sequences for letters such as é and for all that takes three bytes are strong signs: in other encodings they would
    be two characters that no text has side by side. Those for Greek or Cyrillic letters may be a coincidence.
    """

    strong: int = 0
    weak: int = 0
    invalid: int = 0
    first_invalid: int = 0
    _offset: int = 0

    def add(self, text: str) -> None:
        """Take in the next bytes, decoded with `surrogateescape`, which keeps what is not UTF-8."""
        points = code_points(text)
        escaped = (points >= 0xDC80) & (points <= 0xDCFF)
        if not self.invalid and escaped.any():
            before = text[: int(escaped.argmax())]
            self.first_invalid = self._offset + len(before.encode())
        self.invalid += int(escaped.sum())
        self.weak += int(((points >= 0x100) & (points < 0x800)).sum())
        self.strong += int(((points >= 0x80) & ((points < 0x100) | (points >= 0x800)) & ~escaped).sum())
        self._offset += len(text.encode(errors="surrogateescape"))

    @property
    def is_evident(self) -> bool:
        """Whether more speaks for UTF-8 than against it."""
        return self.strong + self.weak / 4 >= max(1, self.invalid)
