import errno
import json
import os
from pathlib import Path

import pytest

from ml_playground.errors import StorageError
from ml_playground.utils.files import (
    atomic_replace,
    atomic_write,
    current,
    link_or_copy,
    read_file,
    system_error,
    write_json,
)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    with atomic_write(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"second")
        raise ZeroDivisionError
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_the_rest_of_a_killed_write_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_bytes(b"half")
    with atomic_write(tmp_path / "a") as file:
        file.write(b"whole")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_stays_when_the_original_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr("os.link", refuse)
    path, copy = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    copy.write_bytes(b"older")
    link_or_copy(path, copy)
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:
        file.write(b"new")
    assert copy.read_bytes() == b"old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


def test_a_copy_of_a_copy_changes_nothing(tmp_path: Path) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    link_or_copy(path, copy)
    link_or_copy(copy, path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}


REFUSALS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOLCK]


@pytest.mark.parametrize("number", REFUSALS)
def test_what_the_system_refuses_is_named_with_the_file(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(StorageError, match=f"{path}: could not be written: {os.strerror(number)}"), atomic_write(path):
        raise OSError(number, os.strerror(number))
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "no such file"), KeyError("a bug"), ValueError("5 is not allowed (28)")]
)
def test_a_bug_is_not_called_a_refusal(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), atomic_write(tmp_path / "a"):
        raise error


def test_a_bug_while_a_refusal_is_handled_stays_a_bug() -> None:
    error = AttributeError("a typing error of ours")
    error.__context__ = OSError(errno.EACCES, "no permission")
    assert system_error(error) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("unable to open file <a> in read-only mode: No space left on device (28)"),
        OSError("100 requested and 20 written"),
    ],
)
def test_the_words_of_libraries_are_understood(error: Exception) -> None:
    cause = system_error(error)
    assert cause is not None
    assert cause.errno == errno.ENOSPC


def test_an_error_that_is_its_own_context_has_an_end() -> None:
    """As TensorBoard raises the same one again and again."""
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert system_error(one) is None


def test_names_that_are_not_utf8_survive_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    write_json(tmp_path / "a.json", {"name": name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": name}


def test_a_folder_is_found_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "made"
    assert current(path) == path
    (tmp_path / ".made.old").mkdir()
    assert current(path) == tmp_path / ".made.old"
    path.mkdir()
    assert current(path) == path


def test_a_folder_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_text("old")
    with pytest.raises(StorageError), atomic_replace(tmp_path / "made", replace=True) as folder:
        folder.mkdir()
        (folder / "a").write_text("new")
        raise OSError(errno.EIO, "Input/output error")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made" / "a").read_text() == "old"


def refuse(*_: object) -> None:
    raise OSError("a file system without links")


def test_json_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"text": "größer", "list": [1, 2]})
    assert (tmp_path / "a.json").read_text(
        encoding="utf-8"
    ) == '{\n  "text": "größer",\n  "list": [\n    1,\n    2\n  ]\n}\n'


def test_a_killed_swap_of_folders_loses_nothing(tmp_path: Path) -> None:
    """Between two renames the folder is there under another name only."""
    (tmp_path / ".made.old").mkdir()
    (tmp_path / ".made.old" / "LICENSE").write_text("mine")
    (tmp_path / ".made.tmp").mkdir()
    with atomic_replace(tmp_path / "made") as folder:
        folder.mkdir()
        (folder / "new").write_text("new")
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"LICENSE", "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "LICENSE").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_replace(tmp_path / "link") as folder:
        folder.mkdir()
        (folder / "new").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in (tmp_path / "real").iterdir()} == {"LICENSE", "new"}


def test_a_file_never_takes_the_place_of_a_folder_or_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="Is a directory"), atomic_replace(tmp_path / "folder") as new:
        new.write_text("a file")
    with pytest.raises(StorageError, match="Not a directory"), atomic_replace(tmp_path / "file") as new:
        new.mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_json(tmp_path / "folder", {})
    with pytest.raises(StorageError, match="A folder is where a file should be"):
        write_json(tmp_path / "file" / "a.json", {})
    assert (tmp_path / "file").read_text() == "mine"


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(IsADirectoryError):
            read_file(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none")
