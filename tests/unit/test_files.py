from pathlib import Path

import pytest

from ml_playground.files import atomic_write, keep_copy, staged, write_json


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
    keep_copy(path, copy)
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:
        file.write(b"new")
    assert copy.read_bytes() == b"old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


def test_a_copy_of_a_copy_changes_nothing(tmp_path: Path) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    keep_copy(path, copy)
    keep_copy(copy, path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}


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
    with staged(tmp_path / "made") as folder:
        folder.mkdir()
        (folder / "new").write_text("new")
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"LICENSE", "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "LICENSE").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with staged(tmp_path / "link") as folder:
        folder.mkdir()
        (folder / "new").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in (tmp_path / "real").iterdir()} == {"LICENSE", "new"}
