import errno
import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

from ml_playground.errors import LockedError, StorageError
from ml_playground.utils.locks import is_locked, locked


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with locked(path):
        with pytest.raises(LockedError) as error, locked(path):
            pass
        assert error.value.owner == str(os.getpid())
        with locked(tmp_path / "b.lock"):
            pass
    with locked(path):
        pass


def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.lock"
    ready, said = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(path):
            os.write(said, b"held")
            signal.pause()
    os.read(ready, 4)
    with pytest.raises(LockedError), locked(path):
        pass
    os.kill(child, signal.SIGKILL)
    with locked(path, wait=True):
        os.waitpid(child, 0)
    assert capsys.readouterr().err in ("", f"waiting for process {child}, which holds {path}\n")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_and_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """A lock file that is left there must not be waited for."""
    (tmp_path / "a.lock").write_text("12345")

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "a.lock", wait=True):
        pass
    assert "this file system has no locks" in capsys.readouterr().err


def test_a_failing_disk_is_not_a_missing_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(StorageError, match=r"a\.lock: could not be written: Input/output error"),
        locked(tmp_path / "a.lock"),
    ):
        pass


def test_whether_a_lock_is_held_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_locked(path)
    with locked(path):
        assert is_locked(path)
        assert path.read_text() == str(os.getpid())
    assert not is_locked(path)
    path.unlink()
    path.mkdir()
    assert not is_locked(path)


def test_one_who_asks_does_not_keep_others_from_locking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # as `is_locked` does
    monkeypatch.setattr(time, "sleep", lambda _: os.close(descriptor))
    with locked(path):
        assert is_locked(path)
