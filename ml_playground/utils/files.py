"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from ml_playground.errors import PlaygroundError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FAILED = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOTCONN}
_MISPLACED = {errno.EISDIR, errno.ENOTDIR}
_OTHER = {errno.ENOLCK, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP, errno.EBUSY, errno.ETXTBSY}
_REFUSALS = _FULL | _DENIED | _FAILED | _MISPLACED | _OTHER
_BUGS = (TypeError, AttributeError, NameError, LookupError, AssertionError)  # whatever was handled when they came up
_NUMBER = re.compile(r"\((?:os error )?(\d+)\)")  # of an error, as libraries in Rust and C++ give it with its words
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


@contextmanager
def atomic_write(path: Path) -> Generator[BinaryIO]:
    """A binary file that appears at `path`, whole and synced to disk, when the block succeeds, or not at all.

    Raises:
        StorageError: the system refused to write; the file that was at `path` is untouched.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                _sync_descriptor(file.fileno())
            temporary.replace(path)
        except BaseException:
            _discard(temporary)
            raise
        sync(path.parent)


@contextmanager
def atomic_replace(path: Path, *, replace: bool = False) -> Generator[Path]:
    """A place for a file or a folder that others write; what is there when the block ends well goes to `path`.

    The caller holds a lock that keeps other writers of `path` out. Other files of a folder at `path` stay there,
    unless `replace` is set. Between two renames a folder is absent from `path`: readers use `current`.

    Raises:
        StorageError: the system refused to write, or a file would take the place of a folder, or a folder that of a
            file; what was at `path` is not damaged.
    """
    path = path.resolve() if path.is_symlink() else path
    new, old = path.with_name(f".{path.name}.tmp"), _old(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _remove(new)  # of a process that was killed
            if old.exists() and not path.exists():  # it was killed between the two renames
                old.rename(path)
            yield new
            if path.exists() and path.is_dir() != new.is_dir():
                kind = errno.EISDIR if path.is_dir() else errno.ENOTDIR
                raise OSError(kind, os.strerror(kind), str(path))
            if path.is_dir() and not replace:
                _copy_missing(path, new)
            _sync_all(new)
            if path.is_dir():  # a folder cannot be renamed over one that holds something
                _remove(old)
                path.rename(old)
                try:
                    new.rename(path)
                except BaseException:
                    old.rename(path)
                    raise
                sync(path.parent)
                _remove(old)
            else:
                new.replace(path)
        except BaseException:
            _discard(new)
            raise
        sync(path.parent)


def current(path: Path) -> Path:
    """Where the folder of `path` is now: while `atomic_replace` replaces it, and after a kill in between, beside it."""
    return _old(path) if not path.exists() and _old(path).exists() else path


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _copy_missing(folder: Path, to: Path) -> None:
    """Copy what is in `folder` and not in `to`."""
    for each in folder.iterdir():
        copy = to / each.name
        if copy.exists():
            continue
        if each.is_dir() and not each.is_symlink():
            copy.mkdir()
            _copy_missing(each, copy)
        else:
            shutil.copyfile(each, copy, follow_symlinks=False)
            with suppress(OSError):  # not every file system keeps times and permissions
                shutil.copystat(each, copy, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _discard(path: Path) -> None:
    """Remove what was not finished, where the system lets us: the error that led here matters more."""
    with suppress(OSError):
        _remove(path)


def _sync_all(path: Path) -> None:
    """Sync a file, or a folder with all its files, to disk."""
    for each in [*path.rglob("*"), path] if path.is_dir() else [path]:
        if not each.is_symlink():
            sync(each)


def sync(path: Path) -> None:
    """Sync a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _sync_descriptor(descriptor: int) -> None:
    """fsync; on macOS that does not reach the medium, and F_FULLFSYNC does where the file system has it."""
    if sys.platform == "darwin":
        import fcntl  # which Windows lacks, where the command line still has to say so

        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot do it for folders
            raise


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Turn what the system refuses while `path` is written into a StorageError that says so."""
    try:
        yield
    except PlaygroundError:
        raise
    except Exception as error:
        cause = error if isinstance(error, FileExistsError) else system_error(error)
        if cause is None:
            raise
        raise StorageError(f"{path}: could not be written: {_reason(path, cause)}") from error


def system_error(error: BaseException | None) -> OSError | None:
    """The refusal of the operating system that led to `error`, such as a full disk or a missing permission.

    None if there was none. A missing file is not among these: it may be a bug. torch.save raises a RuntimeError of its
    own when the file that it writes to raises; other libraries give the error's number and words in a text of their
    own, and numpy how much it could write.
    """
    seen: set[int] = set()  # an error that is raised again can be its own context
    while error is not None and not isinstance(error, _BUGS) and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return error
        for number in map(int, _NUMBER.findall(str(error))):
            if number in _REFUSALS and os.strerror(number) in str(error):
                return OSError(number, os.strerror(number))
        if isinstance(error, OSError) and _SHORT_WRITE.fullmatch(str(error)):
            return OSError(errno.ENOSPC, f"only {error}")
        error = error.__cause__ or error.__context__
    return None


def advice(cause: OSError) -> str:
    """What a user can do about an error that `system_error` returned."""
    if cause.errno in _FULL:
        return "Free up space, then run the same command again."
    if cause.errno in _MISPLACED | {errno.EEXIST}:
        return "A folder is where a file should be, or a file where a folder should be: move it away."
    if cause.errno in _DENIED:
        return "Check its permissions, and whether the disk can be written to."
    if cause.errno in _FAILED:
        return "The disk, or the network drive, reports an error: check it before you run the same command again."
    return "Fix that, then run the same command again."


def _reason(path: Path, cause: OSError) -> str:
    free = ""
    if cause.errno in _FULL:
        with suppress(OSError):
            free = f" ({shutil.disk_usage(path.parent).free / 2**20:,.0f} MiB free on this disk)"
    return f"{cause.strerror}{free}. No file was damaged. {advice(cause)}"


def refuse_other(path: Path) -> None:
    """Raises OSError if there is something at `path` that is not a file: a pipe or a device could wait for ever."""
    if path.exists() and not path.is_file():
        words = os.strerror(errno.EISDIR) if path.is_dir() else "Not a regular file"
        raise OSError(errno.EISDIR, words, str(path))


def read_file(path: Path, at_most: int | None = None) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: there is none, it cannot be read, or it has more bytes than `at_most`.
    """
    refuse_other(path)
    try:
        if at_most is not None and (size := path.stat().st_size) > at_most:
            raise OSError(errno.EFBIG, f"File too large ({size:,} bytes)", str(path))
        return path.read_bytes()
    except ValueError:  # a NUL character
        raise OSError(errno.EINVAL, "That cannot be the name of a file", str(path)) from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as file:
        file.write(json_text(value))


def json_text(value: Any) -> bytes:
    """`value` as indented JSON in UTF-8."""
    # Names of files that are not UTF-8 hold lone surrogates: JSON has escapes for those.
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="backslashreplace")


def link_or_copy(path: Path, copy: Path) -> None:
    """Give the file at `path` a second name, atomically, without leaving it absent from the first for a moment."""
    temporary = copy.with_name(f"{copy.name}.tmp")
    with storage_errors(copy):
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            with atomic_write(copy) as target, path.open("rb") as source:
                shutil.copyfileobj(source, target)
            return
        try:
            temporary.replace(copy)
        finally:
            _discard(temporary)  # renaming does nothing between two names of one file
        sync(copy.parent)


def share_like(path: Path, other: Path) -> None:
    """Let those read `path` who may read `other`, where the file system can: safetensors writes for its owner alone."""
    with suppress(OSError):
        path.chmod(other.stat().st_mode)


def unused_name(path: Path) -> Path:
    """A name beside `path` to set it aside under, which nothing has yet, such as `metrics-1.jsonl`."""
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    return next(name for name in names if not name.exists())
