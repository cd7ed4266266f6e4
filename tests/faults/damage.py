"""Every class of byte in a file, and what can befall it."""

import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_EOCD = b"PK\x05\x06"
# Names and sizes of the fields, as in the zip format's specification.
_LOCAL = {"signature": 4, "version": 2, "flags": 2, "method": 2, "time": 4, "crc": 4, "sizes": 8, "lengths": 4}
_CENTRAL = {
    "signature": 4,
    "made by": 2,
    "version": 2,
    "flags": 2,
    "method": 2,
    "time": 4,
    "crc": 4,
    "sizes": 8,
    "lengths": 6,
    "disk": 2,
    "internal attributes": 2,
    "external attributes": 4,
    "offset": 4,
}
_END = {"signature": 4, "disks": 4, "counts": 4, "size": 4, "offset": 4, "comment length": 2}
_END64 = {"signature": 4, "length": 8, "versions": 4, "disks": 8, "counts": 16, "size": 8, "offset": 8}
_LOCATOR = {"signature": 4, "disk": 4, "offset": 8, "disks": 4}


@dataclass(frozen=True)
class Region:
    """Bytes of one class."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Damage:
    """What befalls a file: a bit flipped at `place`, or the file cut there, or zeros from there on."""

    kind: str
    how: str  # flip, cut, zeros
    place: int
    bit: int = 0

    def apply(self, path: Path) -> None:
        """Damage the file, whose time stays as a disk that forgets leaves it."""
        status, data = path.stat(), bytearray(path.read_bytes())
        if self.how == "flip":
            data[self.place] ^= 1 << self.bit
        elif self.how == "cut":
            del data[self.place :]
        else:
            data[self.place :] = bytes(len(data) - self.place)
        path.chmod(0o644)
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def damages(path: Path, *, flips: int, cuts: int, seed: int) -> list[Damage]:
    """Some of what can befall a file: so many flipped bits in each class of bytes, so many cuts."""
    luck, data = random.Random(f"{seed} {path.name}"), path.read_bytes()
    by_kind: dict[str, list[Region]] = {}
    for region in _regions(path, data):
        if region.end > region.start:
            by_kind.setdefault(region.kind, []).append(region)
    found: list[Damage] = []
    for kind, regions in by_kind.items():
        for region in luck.choices(regions, k=flips):
            found.append(Damage(kind, "flip", luck.randrange(region.start, region.end), luck.randrange(8)))
    if data:
        lengths = {0, 1, len(data) // 2, len(data) - 1, *(luck.randrange(len(data)) for _ in range(cuts))}
        found += [Damage("length", "cut", length) for length in sorted(lengths)[: cuts or None]]
        found += [Damage("length", "zeros", length) for length in (0, len(data) // 2) if any(data[length:])]
    return list(dict.fromkeys(found))


def _regions(path: Path, data: bytes) -> Iterator[Region]:
    if path.suffix == ".pt" and _EOCD in data:
        return _zip(data)
    if path.suffix == ".safetensors" and len(data) > 8:
        return _safetensors(data)
    third = len(data) // 3
    return iter([Region("start", 0, third), Region("middle", third, 2 * third), Region("end", 2 * third, len(data))])


def _safetensors(data: bytes) -> Iterator[Region]:
    end = 8 + int(struct.unpack_from("<Q", data)[0])
    yield from (Region("header length", 0, 8), Region("header", 8, end), Region("tensors", end, len(data)))


def _fields(what: str, at: int, sizes: dict[str, int]) -> Iterator[Region]:
    for name, size in sizes.items():
        yield Region(f"{what}: {name}", at, at + size)
        at += size


def _zip(data: bytes) -> Iterator[Region]:
    end = data.rindex(_EOCD)
    yield from _fields("end of directory", end, _END)
    yield Region("comment or what follows", end + 22, len(data))
    count, size, at = struct.unpack_from("<HLL", data, end + 10)
    last = end
    if data[end - 20 : end - 16] == b"PK\x06\x07":
        yield from _fields("locator", end - 20, _LOCATOR)
        last = int(struct.unpack_from("<Q", data, end - 12)[0])
        yield from _fields("end of directory 64", last, _END64)
        count, size, at = struct.unpack_from("<QQQ", data, last + 32)
    del size
    starts: list[int] = []
    entries: list[tuple[int, str]] = []
    for _ in range(count):
        yield from _fields("directory", at, _CENTRAL)
        name, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        local = int(struct.unpack_from("<L", data, at + 42)[0])
        entries.append((local, data[at + 46 : at + 46 + name].decode()))
        starts += [local, at]
        yield Region("directory: name", at + 46, at + 46 + name)
        yield Region("directory: extra", at + 46 + name, at + 46 + name + extra + comment)
        at += 46 + name + extra + comment
    starts.append(last)
    for local, name in entries:
        yield from _entry(data, local, name, min(start for start in starts if start > local))


def _entry(data: bytes, local: int, name: str, following: int) -> Iterator[Region]:
    yield from _fields("local header", local, _LOCAL)
    length, extra = struct.unpack_from("<HH", data, local + 26)
    begin = local + 30 + length + extra
    yield Region("local header: name", local + 30, local + 30 + length)
    yield Region("local header: padding", local + 30 + length, begin)
    size = int(struct.unpack_from("<L", data, local + 22)[0])
    if size in (0, 0xFFFFFFFF):
        size = following - begin
    what = "data.pkl" if name.endswith("data.pkl") else "tensor" if "/data/" in name else "small entry"
    yield Region(f"data: {what}", begin, min(begin + size, following))
    yield Region("data descriptor", min(begin + size, following), following)
