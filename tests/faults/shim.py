"""The Python side of `shim.c`: what to spoil, and what was called."""

import ctypes
import errno
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
KILL = -1

_RECORD = struct.Struct("<iiqqii")


class Operation(IntEnum):
    """What a call does; the order is that of `shim.c`."""

    READING = 0  # opening a file for it
    WRITING = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    RENAME = 5
    LINK = 6
    UNLINK = 7
    MKDIR = 8
    RMDIR = 9
    LOCK = 10
    ATTRIBUTES = 11


_O = Operation
_ANY = frozenset(Operation)
_CHANGES = _ANY - {_O.READING, _O.LOCK}
_GROWS = frozenset({_O.WRITING, _O.WRITE, _O.TRUNCATE, _O.SYNC, _O.RENAME, _O.LINK, _O.MKDIR})
# What a disk answers, and to which calls.
ANSWERS: dict[int, frozenset[Operation]] = {
    errno.ENOSPC: _GROWS,
    errno.EIO: _ANY,
    errno.EROFS: _CHANGES,
    errno.EACCES: _ANY - {_O.WRITE, _O.SYNC},
    errno.EDQUOT: _GROWS,
    errno.EPERM: frozenset({_O.WRITING, _O.RENAME, _O.LINK, _O.UNLINK, _O.MKDIR, _O.RMDIR, _O.ATTRIBUTES}),
    errno.ENOLCK: frozenset({_O.LOCK}),
    errno.ENOSYS: frozenset({_O.LOCK, _O.LINK}),
    errno.EOPNOTSUPP: frozenset({_O.LOCK, _O.LINK, _O.ATTRIBUTES}),
}


def mask(operations: frozenset[Operation]) -> int:
    """The operations as bits."""
    return sum(1 << operation for operation in operations)


@dataclass(frozen=True)
class Fault:
    """What befalls a process.

    Attributes:
        at: number of the call that is hit, from 1, or the first after it that can end so; 0 for none.
        error: what it answers, or `KILL`.
        stays: whether later calls fail too, as on a disk that stays full.
        half: whether a write that is hit writes half of its bytes first.
        only: what a path must contain to count; "" counts all.
        without: what it must not contain.
        slow: microseconds to wait before each rename and link, for other processes to come in between.
        counted: which calls count, as bits.
    """

    at: int = 0
    error: int = 0
    stays: bool = False
    half: bool = False
    only: str = ""
    without: str = ""
    slow: int = 0
    counted: int = field(default=mask(_ANY))


@dataclass(frozen=True)
class Call:
    """A call that was made, or that failed with `error`."""

    operation: Operation
    error: int
    place: int
    path: str
    other: str
    data: bytes


def build(folder: Path) -> Path:
    """Compile the shim. Raises FileNotFoundError where there is no C compiler."""
    library = folder / "shim.so"
    command = [
        "cc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(SOURCE),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return library


def arm(root: Path, fault: Fault, log: Path, *, with_data: bool = False) -> None:
    """Begin to count, record and spoil what this process does below `root`. The shim must be preloaded."""
    shim = ctypes.CDLL(None)
    fitting = ANSWERS[fault.error] if fault.error > 0 else _ANY
    descriptor = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
    shim.faults_arm(
        os.fsencode(root),
        fault.without.encode(),
        fault.only.encode(),
        ctypes.c_uint(fault.counted),
        ctypes.c_long(fault.at),
        fault.error,
        ctypes.c_uint(mask(fitting)),
        int(fault.stays),
        int(fault.half),
        descriptor,
        int(with_data),
        fault.slow,
    )


def calls(log: Path) -> Iterator[Call]:
    """What was recorded, in order."""
    data, at = log.read_bytes(), 0
    while at < len(data):
        operation, error, place, size, path, other = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        names = data[at : at + path], data[at + path : at + path + other]
        at += path + other
        yield Call(
            Operation(operation), error, place, os.fsdecode(names[0]), os.fsdecode(names[1]), data[at : at + size]
        )
        at += size
