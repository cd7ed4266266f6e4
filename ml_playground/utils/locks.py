"""One writer at a time: locks that end with the process that holds them."""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ml_playground.errors import LockedError
from ml_playground.utils.files import refuse_other, storage_errors

_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
_ATTEMPTS = 10
_PAUSE = 0.01  # seconds


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Generator[None]:
    """Hold the lock file `path`, which keeps this process's id; it is left there, as only the lock itself counts.

    Args:
        path: the file, in a folder that exists.
        wait: wait for another process that holds it, which is printed on stderr.

    Raises:
        LockedError: another process holds it, and `wait` is not set.
        StorageError: the system refuses to write there.
    """
    with storage_errors(path):
        refuse_other(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
    try:
        with storage_errors(path):
            _acquire(descriptor, path, wait=wait)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file `path`; also true where the file system has no locks to ask for.

    The lock is shared for a moment: `locked` tries again where that is in its way.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # it was never taken, or cannot be read
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in _NO_LOCKS
    finally:
        os.close(descriptor)
    return False


def _acquire(descriptor: int, path: Path, *, wait: bool) -> None:
    try:
        _acquire_at_once(descriptor)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
        if not wait:
            raise LockedError(path, owner) from None
        print(f"waiting for process {owner}, which holds {path}", file=sys.stderr)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print(
            f"! {path.parent}: this file system has no locks ({error.strerror}). Run one command at a time there.",
            file=sys.stderr,
        )


def _acquire_at_once(descriptor: int) -> None:
    """Raises BlockingIOError if another process holds the lock and `is_locked` is not what does."""
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
