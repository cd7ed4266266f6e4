"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

import errno
import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ml_playground.errors import DiskFullError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


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
def staged(path: Path, *, replace: bool = False) -> Generator[Path]:
    """A place for a file or a folder that others write; what is there when the block ends well goes to `path`.

    What else was in a folder at `path` stays there, unless `replace` is set.

    Raises:
        DiskFullError: there was no room; what stood at `path` is untouched.
        OSError: a file would take the place of a folder, or a folder that of a file.
    """
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    try:
        _remove(new)  # of a process that was killed
        recover(path)
        yield new
        if path.exists() and path.is_dir() != new.is_dir():
            kind = errno.EISDIR if path.is_dir() else errno.ENOTDIR
            raise OSError(kind, f"{os.strerror(kind)}, so that nothing else can take its place", str(path))
        if path.is_dir():  # a folder cannot be renamed over one that holds something
            if not replace:
                _copy_missing(path, new)
            _sync(new)
            _remove(old)
            path.rename(old)
            try:
                new.rename(path)
            except BaseException:
                old.rename(path)
                raise
            _remove(old)
        else:
            _sync(new)
            new.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        _remove(new)
        if not isinstance(error, DiskFullError) and (cause := no_room(error)) is not None:
            raise _disk_full(path, cause) from error
        raise


def recover(path: Path) -> None:
    """Bring back the folder that stood at `path` if a kill came between its going and the coming of the next."""
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)


def _copy_missing(folder: Path, to: Path) -> None:
    """Copy what is in `folder` and not in `to`."""
    for each in folder.iterdir():
        copy = to / each.name
        if copy.exists():
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.copytree(each, copy, symlinks=True)
        else:
            shutil.copy2(each, copy, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or all files of a folder, on the disk."""
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def no_room(error: BaseException | None) -> OSError | None:
    """The error about a full disk, a used-up quota or a size limit that is behind `error`, if there is one.

    torch.save raises a RuntimeError of its own when the file that it writes to raises; safetensors tells the system's
    number in words, and numpy how much it could write.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        if (told := _OS_ERROR.search(str(error))) and int(told[1]) in _NO_ROOM:
            return OSError(int(told[1]), os.strerror(int(told[1])))
        if isinstance(error, OSError) and _SHORT_WRITE.fullmatch(str(error)):
            return OSError(errno.ENOSPC, f"only {error}")
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
