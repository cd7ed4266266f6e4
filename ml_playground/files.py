"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

import errno
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ml_playground.errors import DiskFullError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_write(path: Path) -> Generator[BinaryIO]:
    """A binary file that appears at `path` when the block ends well, whole and on the disk, or not at all.

    Raises:
        DiskFullError: there was no room; the file that stood at `path` is untouched.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, DiskFullError) and (cause := no_room(error)) is not None:
            raise _disk_full(path, cause) from error
        raise


@contextmanager
def staged(path: Path) -> Generator[Path]:
    """A place for a file or a folder that others write; what is there when the block ends well goes to `path`.

    Raises:
        DiskFullError: there was no room; what stood at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        new, old = Path(scratch) / path.name, Path(scratch) / "old"
        try:
            yield new
        except BaseException as error:
            if not isinstance(error, DiskFullError) and (cause := no_room(error)) is not None:
                raise _disk_full(path, cause) from error
            raise
        if path.is_dir():  # a folder cannot be renamed over one that holds something
            path.rename(old)
        new.replace(path)
        _sync_folder(path.parent)


def no_room(error: BaseException | None) -> OSError | None:
    """The error about a full disk, a used-up quota or a size limit that is behind `error`, if there is one.

    torch.save raises a RuntimeError of its own when the file that it writes to raises.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def _disk_full(path: Path, cause: OSError) -> DiskFullError:
    free = shutil.disk_usage(path.parent).free
    return DiskFullError(
        f"{path}: could not be written: {cause.strerror} ({free / 2**20:,.0f} MiB free on this disk). "
        "What stood there before is untouched. Make room, then run the same command again."
    )


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as file:
        file.write(json_text(value))


def json_text(value: Any) -> bytes:
    """`value` as indented JSON in UTF-8."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def keep_copy(path: Path, copy: Path) -> None:
    """Give the file at `path` a second name, atomically, without leaving it absent from the first for a moment."""
    temporary = copy.with_name(f"{copy.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        with atomic_write(copy) as target, path.open("rb") as source:
            shutil.copyfileobj(source, target)
        return
    temporary.replace(copy)
    temporary.unlink(missing_ok=True)  # renaming does nothing between two names of one file


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut. Windows has no such thing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
