"""Which passages of some texts occur in a large one, exactly: windows hashed in chunks, each hit compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_playground.data.store import Tokens

_CHUNK = 2**18  # windows at once, so that the arrays stay in a processor's cache
_FILTER_BITS = 22  # of a hash, which tell most windows that are not looked for
_PAIRS = 2**20  # of windows to follow at once
_BASE = 0xD6E8FEB86659FD93  # odd, so that it has an inverse modulo 2^64

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Copied:
    """What of one text occurs in another.

    Attributes:
        length: tokens of its longest passage that does.
        start: first token of that passage, the first of several as long.
    """

    length: int
    start: int


class Corpus:
    """A text in which passages are looked up; it is read from disk in chunks, however large."""

    def __init__(self, tokens: Tokens) -> None:
        """Take a text, shape (N,)."""
        self._tokens = tokens
        self._powers, self._inverses = _powers(_CHUNK)

    def longest(self, texts: Sequence[Integers]) -> list[Copied]:
        """Of each text, its longest passage that occurs here.

        Lengths are doubled while some window occurs: a passage occurs only where its beginnings do. Then every
        occurrence of the longest windows that do is followed as far as it agrees.
        """
        different = list({text.tobytes(): text for text in texts}.values())
        joined, starts = _joined(different)
        ends = starts + np.array([len(text) for text in different], dtype=np.int64)
        places = [_windows(start, len(text), 1) for start, text in zip(starts, different, strict=True)]
        low = self._doubled(joined, places, ends)
        limits = np.repeat(ends, ends - starts)
        runs = _Runs(joined, limits)
        open_ones = [index for index, length in enumerate(low) if 0 < length < ends[index] - starts[index]]
        self._scan(
            _Search(joined, length, np.concatenate([places[each] for each in open_ones if low[each] == length]), runs)
            for length in sorted({low[each] for each in open_ones})
        )
        found: dict[bytes, Copied] = {}
        for text, length, where, start in zip(different, low, places, starts, strict=True):
            reach = runs.reached[start : start + len(text)]
            longer = int(reach.max(initial=0))
            at = int(reach.argmax()) if longer else int(where[0] - start) if length else 0
            found[text.tobytes()] = Copied(max(length, longer), at)
        return [found[text.tobytes()] for text in texts]

    def _doubled(self, joined: Integers, places: list[Integers], ends: Integers) -> list[int]:
        """For each text, the last of the lengths 1, 2, 4, ... and its own of which a window occurs; 0 if none.

        What is left in `places` is where those windows start.
        """
        sizes = [len(each) for each in places]
        low, left, length = [0] * len(places), set(range(len(places))), 1
        while left:
            wanted: dict[int, tuple[int, Integers]] = {}
            for index in left:
                tried = min(length, sizes[index])
                wanted[index] = tried, places[index][places[index] + tried <= ends[index]]
            found = self._occur(joined, list(wanted.values()))
            for (index, (tried, windows)), hits in zip(wanted.items(), found, strict=True):
                if tried > low[index] and hits.any():
                    low[index], places[index] = tried, windows[hits]
                else:
                    left.discard(index)
            length *= 2
        return low

    def windows_found(self, texts: Sequence[Integers], lengths: Sequence[int]) -> list[list[int]]:
        """Of each text and each length, how many of its windows of so many tokens occur here."""
        joined, starts = _joined(texts)
        wanted = [
            (length, _windows(start, len(text), length))
            for start, text in zip(starts, texts, strict=True)
            for length in lengths
        ]
        found = [int(hits.sum()) for hits in self._occur(joined, wanted)]
        return [found[first : first + len(lengths)] for first in range(0, len(found), len(lengths))]

    def _occur(self, text: Integers, wanted: Sequence[tuple[int, Integers]]) -> list[Flags]:
        """Whether windows of `text` occur here: of each length, at the places where they start."""
        by_length: dict[int, list[Integers]] = {}
        for length, places in wanted:
            by_length.setdefault(length, []).append(places)
        searches = {
            length: _Search(text, length, np.unique(np.concatenate(places))) for length, places in by_length.items()
        }
        self._scan(searches.values())
        return [searches[length].found_at(places) for length, places in wanted]

    def _scan(self, searches: Iterable["_Search"]) -> None:
        """Look for everything in one pass."""
        for start in range(0, len(self._tokens), _CHUNK):
            searches = [search for search in searches if search.pending]
            if not searches:
                return
            most = _CHUNK - 1 + max(search.reach for search in searches)
            chunk = np.asarray(self._tokens[start : start + most]).astype(np.uint64)
            if len(chunk) > len(self._powers):
                self._powers, self._inverses = _powers(len(chunk))
            sums = _prefix_sums(chunk, self._powers)
            for search in searches:
                count = min(_CHUNK, len(chunk) - search.length + 1)
                if count > 0:
                    search.look(chunk, _window_hashes(sums, search.length, count, self._inverses))


class _Search:
    """Windows of one length that are looked for."""

    def __init__(self, text: Integers, length: int, places: Integers, runs: "_Runs | None" = None) -> None:
        """Look for the windows of `length` tokens of `text` that start at `places`, which are sorted.

        With `runs`, all occurrences are looked at, not only the first, and followed there.
        """
        self.length = length
        self._runs = runs
        self._text, self._places = text.astype(np.uint64), places
        self._found = np.zeros(len(places), dtype=np.bool_)
        if not len(places):
            self._order = np.empty(0, dtype=np.int64)
            self._hashes = np.empty(0, dtype=np.uint64)
        else:
            powers, inverses = _powers(len(text))
            hashes = _window_hashes(_prefix_sums(self._text, powers), length, len(text) - length + 1, inverses)[places]
            self._order = np.argsort(hashes, kind="stable")
            self._hashes = hashes[self._order]
        self._prepare()

    @property
    def reach(self) -> int:
        """How many tokens from the start of a window are looked at."""
        return self.length if self._runs is None else 2 * self.length

    @property
    def pending(self) -> bool:
        """Whether some have not been found."""
        return len(self._hashes) > 0

    def found_at(self, places: Integers) -> Flags:
        """Which of the windows at `places` were found."""
        return self._found[np.searchsorted(self._places, places)]

    def look(self, chunk: Hashes, hashes: Hashes) -> None:
        """Look among the windows of `chunk` with these `hashes`."""
        near = np.flatnonzero(self._filter[(hashes >> np.uint64(64 - _FILTER_BITS)).view(np.int64)])
        slots = np.searchsorted(self._hashes, hashes[near])
        slots[slots == len(self._hashes)] = 0
        same = self._hashes[slots] == hashes[near]
        near, slots = near[same], slots[same]  # of equal hashes, the first one's slot
        if self._runs is not None:
            self._follow(chunk, near, slots, self._runs)
            return
        open_ones = np.ones(len(self._hashes), dtype=np.bool_)
        while len(near):
            first, index = np.unique(slots, return_index=True)
            self._compare(chunk, near[index], first, open_ones)
            left = np.ones(len(near), dtype=np.bool_)
            left[index] = False
            # Different windows may share a hash: then all of them are compared, else one is enough.
            left &= np.logical_or.reduceat(open_ones, self._group_starts)[self._groups[slots]]
            near, slots = near[left], slots[left]
        if not open_ones.all():
            self._order, self._hashes = self._order[open_ones], self._hashes[open_ones]
            self._prepare()

    def _compare(self, chunk: Hashes, windows: Integers, slots: Integers, open_ones: Flags) -> None:
        """Compare windows of `chunk` with those looked for that have the hash at `slots`."""
        theirs, members = self._pairs(windows, slots)
        of_text = self._places[self._order[members]]
        equal = np.ones(len(members), dtype=np.bool_)
        for offset in range(self.length):
            equal &= chunk[theirs + offset] == self._text[of_text + offset]
        open_ones[members[equal]] = False
        self._found[self._order[members[equal]]] = True

    def _follow(self, chunk: Hashes, windows: Integers, slots: Integers, runs: "_Runs") -> None:
        """Follow all occurrences, some at once."""
        most = max(1, _PAIRS // max(1, int(np.diff(np.append(self._group_starts, len(self._hashes))).max())))
        for first in range(0, len(windows), most):
            theirs, members = self._pairs(windows[first : first + most], slots[first : first + most])
            runs.follow(chunk, theirs, self._places[self._order[members]])

    def _pairs(self, windows: Integers, slots: Integers) -> tuple[Integers, Integers]:
        """Each window with each of those looked for that have the hash at its slot."""
        counts = np.searchsorted(self._hashes, self._hashes[slots], side="right") - slots
        before = np.cumsum(counts) - counts
        members: Integers = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(before - slots, counts)
        return np.repeat(windows, counts), members

    def _prepare(self) -> None:
        self._filter = np.zeros(2**_FILTER_BITS, dtype=np.bool_)
        self._filter[self._hashes >> np.uint64(64 - _FILTER_BITS)] = True
        begins = np.concatenate([[True], self._hashes[1:] != self._hashes[:-1]])[: len(self._hashes)]
        self._group_starts = np.flatnonzero(begins)  # of equal hashes
        self._groups = np.cumsum(begins) - 1


class _Runs:
    """How far passages of a text agree with what they are compared with."""

    def __init__(self, text: Integers, limits: Integers) -> None:
        """Of `text` (N,), no passage that begins at a token goes beyond its limit (N,)."""
        self.reached = np.zeros(len(text), dtype=np.int64)  # tokens from each that agree, the most so far
        self._text, self._limits = text.astype(np.uint64), limits

    def follow(self, chunk: Hashes, theirs: Integers, ours: Integers) -> None:
        """Compare what begins at `theirs` in `chunk` with what begins at `ours`, as far as each pair agrees."""
        length = 0
        while len(ours):
            inside = (theirs + length < len(chunk)) & (ours + length < self._limits[ours])
            theirs, ours = theirs[inside], ours[inside]
            agree = chunk[theirs + length] == self._text[ours + length]
            theirs, ours = theirs[agree], ours[agree]
            length += 1
            self.reached[ours] = np.maximum(self.reached[ours], length)


def _windows(start: int, tokens: int, length: int) -> Integers:
    """Where the windows of `length` tokens begin in a text of some `tokens` that itself begins at `start`."""
    return np.arange(start, start + tokens - length + 1, dtype=np.int64)


def _joined(texts: Sequence[Integers]) -> tuple[Integers, Integers]:
    """All texts in a row, and where each begins."""
    joined = np.concatenate([np.empty(0, dtype=np.int64), *texts])
    return joined, np.cumsum([0, *(len(text) for text in texts)])[:-1]


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of the base modulo 2^64, and their inverses, from the 0th on."""
    inverse = pow(_BASE, -1, 2**64)
    return _products(_BASE, count), _products(inverse, count)


def _products(base: int, count: int) -> Hashes:
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


def _prefix_sums(tokens: Hashes, powers: Hashes) -> Hashes:
    """Sums of the first 0, 1, ... terms of a polynomial whose coefficients are the tokens, modulo 2^64."""
    sums = np.zeros(len(tokens) + 1, dtype=np.uint64)
    np.cumsum((tokens + np.uint64(1)) * powers[: len(tokens)], out=sums[1:])
    return sums


def _window_hashes(sums: Hashes, length: int, count: int, inverses: Hashes) -> Hashes:
    """The hashes of the first `count` windows of `length` tokens (Karp and Rabin 1987)."""
    hashes: Hashes = (sums[length : length + count] - sums[:count]) * inverses[:count]
    return hashes
