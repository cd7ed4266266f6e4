"""The seal at the end of a checkpoint, which `sealed` writes; reading it needs neither torch nor the weights."""

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table, is_table

_END = b"PK\x05\x06"  # begins the last record of a zip archive
_END_SIZE = 22  # bytes of that record, of which the last two are the comment's length
_DIGEST = 64  # hexadecimal digits of a SHA-256


def read_header(path: Path) -> Table | None:
    """The header of a file, None if it has no seal. The rest of the file is neither read nor verified.

    Raises:
        DamagedCheckpointError: the header is altered.
        CheckpointError: the file is missing or cannot be read.
    """
    with opened(path) as file:
        seal = read_seal(path, file)
    return None if seal is None else seal.header


def recorded_digest(path: Path) -> str | None:
    """The SHA-256 that a checkpoint records of itself, None if it has no seal; it is read, not computed.

    Raises:
        DamagedCheckpointError: the header is altered.
        CheckpointError: the file is missing or cannot be read.
    """
    return (read_header(path) or {}).get("sha256")


class Seal(NamedTuple):
    """A header, and the length in bytes of the zip comment that holds it."""

    header: Table
    size: int


def opened(path: Path) -> BinaryIO:
    """Open a checkpoint for reading. Raises CheckpointError if that fails."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{display_path(path)}: not a file")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise CheckpointError(f"{display_path(path)}: no such checkpoint") from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """The error for a file that cannot be read."""
    return CheckpointError(f"{display_path(path)}: cannot be read: {error.strerror}")


def read_seal(path: Path, file: BinaryIO) -> Seal | None:
    """The seal of an open file, None if it has none. Raises DamagedCheckpointError if it is altered."""
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_SIZE - 2**16))
        tail = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    end = tail.rfind(_END)
    comment = tail[end + _END_SIZE :]
    if end < 0 or int.from_bytes(tail[end + _END_SIZE - 2 : end + _END_SIZE], "little") != len(comment):
        raise DamagedCheckpointError(f"{display_path(path)}: damaged or cut short (it does not end like a checkpoint)")
    if not comment:
        return None
    text, digest = comment[:-_DIGEST], comment[-_DIGEST:]
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise DamagedCheckpointError(f"{display_path(path)}: damaged (the checksum of its header does not match)")
    try:
        header: object = json.loads(text)
    except (ValueError, RecursionError):  # its checksum is right: another program wrote it
        header = None
    if not is_table(header):
        raise DamagedCheckpointError(f"{display_path(path)}: damaged (its header is not a table)")
    return Seal(header, len(comment))
