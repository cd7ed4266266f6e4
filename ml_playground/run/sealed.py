"""Files written by `torch.save`, with a checksum over every byte, and opened without running any code.

`torch.load` does not notice flipped bits, and one in the archive's directory makes it return uninitialised memory. So
`write` adds a seal as the zip archive's comment: the SHA-256 of all other bytes, and a small header that can be read
without the rest. Plain `torch.load` still opens such a file.
"""

import hashlib
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.run.seal import opened, read_seal, unreadable
from ml_playground.utils.files import atomic_write, system_error
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import Table, is_table

_BLOCK = 2**22  # bytes hashed at once
_IS_FOLDER = 0x10  # attribute bit of an entry, which torch's reader trusts


def write(path: Path, values: Table, header: Table) -> None:
    """Write tensors and plain values atomically; `header`, plain values in a few bytes, can be read without them.

    Raises:
        StorageError: the file could not be written; an existing one at `path` is intact.
    """
    with atomic_write(path) as file:
        sink = _HashingSink(file)
        torch.save(values, sink)  # type: ignore[arg-type]  # it asks for less than the type says
        text = json.dumps({**header, "sha256": sink.digest.hexdigest()}).encode()
        comment = text + hashlib.sha256(text).hexdigest().encode()
        file.seek(-2, os.SEEK_END)
        file.write(len(comment).to_bytes(2, "little") + comment)


class _HashingSink:
    """Passes writes on to a file, and hashes them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def read(path: Path) -> tuple[Table, bool]:
    """The values in a file, and whether it has a seal, which is verified.

    Files of other programs have none: there only the checksums of the zip archive itself are verified.

    Raises:
        DamagedCheckpointError: the file is cut short or altered.
        CheckpointError: the file is missing, cannot be read, or holds more than tensors and plain values.
    """
    with opened(path) as file:
        seal = read_seal(path, file)
        if seal is not None and _digest(file, seal.size) != seal.header.get("sha256"):
            raise DamagedCheckpointError(f"{display_path(path)}: damaged (its checksum does not match)")
        _check_parts(path, file, verify=seal is None)
        return _unpickled(path, file), seal is not None


def _digest(file: BinaryIO, comment: int) -> str:
    """The SHA-256 of the file as it was before its comment was added."""
    left = file.seek(0, os.SEEK_END) - comment - 2
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (block := file.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    digest.update(b"\0\0")
    return digest.hexdigest()


def _check_parts(path: Path, file: BinaryIO, *, verify: bool) -> None:
    """Refuse an archive that torch did not write, such as a compressed one; `verify` the checksums of its entries."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            declared = sum(entry.file_size for entry in entries)
            plain = all(
                entry.compress_type == zipfile.ZIP_STORED and not entry.external_attr & _IS_FOLDER for entry in entries
            )
            if not plain or declared > file.seek(0, os.SEEK_END):
                raise DamagedCheckpointError(
                    f"{display_path(path)}: damaged, or not written by torch.save "
                    f"(its parts declare {declared:,} bytes)"
                )
            altered = archive.testzip() if verify else None
    except OSError as error:
        if system_error(error) is not None:
            raise unreadable(path, error) from error
        raise DamagedCheckpointError(
            f"{display_path(path)}: damaged or cut short ({error})"
        ) from error  # an offset before its start
    except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError, LookupError) as error:
        raise DamagedCheckpointError(f"{display_path(path)}: damaged or cut short ({error})") from error
    if altered is not None:
        raise DamagedCheckpointError(f"{display_path(path)}: damaged (checksum of {altered} does not match)")


def _unpickled(path: Path, file: BinaryIO) -> Table:
    file.seek(0)
    try:
        values: object = torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{display_path(path)}: holds more than tensors and plain values; it was not opened, as that could run "
            "its code"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # of any type: the instructions are untrusted, and can fail in any way
        if "allocate memory" in str(error):
            raise
        raise DamagedCheckpointError(f"{display_path(path)}: damaged ({type(error).__name__}: {error})") from error
    if not is_table(values):
        raise CheckpointError(f"{display_path(path)}: not a checkpoint")
    return values
