"""What of a folder is read, what is left out, and that nothing is either without a word."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_playground.data.folders import contents_of
from ml_playground.errors import DataError
from tests.project import texts_in


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n")


def names_of(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in texts_in(folder)]


def test_folders_behind_links_are_read(tmp_path: Path) -> None:
    fill(tmp_path, "elsewhere/deep/b.txt", "raw/a.txt")
    (tmp_path / "raw" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw" / "c.txt").symlink_to(tmp_path / "elsewhere" / "deep" / "b.txt")
    assert names_of(tmp_path / "raw") == ["a.txt", "c.txt", "linked/deep/b.txt"]
    assert texts_in(tmp_path / "raw" / "linked") == [tmp_path / "raw" / "linked" / "deep" / "b.txt"]


def test_links_in_a_circle_and_second_names_end_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "raw/z/a.txt")
    (tmp_path / "raw" / "z" / "up").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "a second name").symlink_to(tmp_path / "raw" / "z")
    assert names_of(tmp_path / "raw") == ["z/a.txt"]
    assert "a second name, z/up: a link to a folder that is read already" in capsys.readouterr().out


def test_hidden_files_and_folders_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = ("._a.txt", ".ipynb_checkpoints/a-checkpoint.txt", ".git/x.txt", "__MACOSX/a.txt", "~$a.txt")
    fill(tmp_path, "a.txt", *hidden)
    assert names_of(tmp_path) == ["a.txt"]
    said = capsys.readouterr().out
    assert all(name.split("/")[0] in said for name in hidden)
    fill(tmp_path / ".texts", "b.txt")
    assert names_of(tmp_path / ".texts") == ["b.txt"]  # what is asked for is not hidden


def test_other_endings_are_counted_and_not_listed_by_the_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "a.txt", "b.csv", "README", *(f"{index}.md" for index in range(300)))
    assert names_of(tmp_path) == ["a.txt"]
    (others,) = capsys.readouterr().out.splitlines()
    assert "and 297 more: with other endings than .txt (300 .md, 1 no ending, 1 .csv)" in others
    assert len(others) < 300


def test_a_source_reads_the_endings_that_are_its_own(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt", "b.csv")
    assert texts_in(tmp_path, source="speeches") == [tmp_path / "b.csv"]
    (tmp_path / "a.txt").unlink()
    with pytest.raises(DataError, match=r'any number of \.txt files.*or set \[prepare\] source to "speeches"\.'):
        texts_in(tmp_path)
    fill(tmp_path, "c.tsv")
    with pytest.raises(DataError, match=r"holds 2 tables: set .* raw_dir to one of them"):
        texts_in(tmp_path, source="speeches")


def test_what_prepare_writes_is_not_named_as_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, "input.txt", "train.bin", "val.bin", "meta.json", "train.jsonl", "tokenizer/tokenizer.json")
    assert names_of(tmp_path) == ["input.txt"]
    assert capsys.readouterr().out == ""


def test_files_without_the_ending_are_named_where_there_is_no_text(tmp_path: Path) -> None:
    fill(tmp_path, "a.md", "b.docx")
    with pytest.raises(DataError, match=r"(?s)no text in .*a\.md, b\.docx: with other endings"):
        texts_in(tmp_path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/{path.name}")  # the path itself may be too long for a socket
        os.close(here)


def broken(path: Path) -> None:
    path.symlink_to("nowhere")


def own_tail(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (pipe, "is a named pipe, not a file"),
        (listening, "is a socket, not a file"),
        (broken, "is a broken link"),
        (own_tail, "cannot be read"),
    ],
)
def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    fill(tmp_path, "raw/a.txt")
    make(tmp_path / "raw" / "x.txt")
    with pytest.raises(DataError, match=rf"x\.txt {why}"):
        texts_in(tmp_path / "raw")
    with pytest.raises(DataError, match=rf"x\.txt {why}"):
        texts_in(tmp_path / "raw" / "x.txt")


def test_a_device_is_not_a_file() -> None:
    with pytest.raises(DataError, match="/dev/zero is a device, not a file"):
        texts_in(Path("/dev/zero"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("what", ["raw/closed", "raw/closed/a.txt"])
def test_what_may_not_be_read_is_named(tmp_path: Path, what: str) -> None:
    fill(tmp_path, "raw/closed/a.txt")
    (tmp_path / what).chmod(0)
    try:
        with pytest.raises(OSError if what.endswith("txt") else DataError, match="closed"):
            [path.read_bytes() for path in texts_in(tmp_path / "raw")]
    finally:
        (tmp_path / what).chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root may read everything, the system's answer is replaced."""
    fill(tmp_path, "raw/closed/a.txt", "raw/b.txt")
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"closed cannot be read \(Permission denied\)\. Fix that"):
        texts_in(tmp_path / "raw")
    assert [path.name for path in contents_of(tmp_path / "raw", (".txt",)).found] == ["b.txt"]


def test_a_folder_may_be_called_like_a_file(tmp_path: Path) -> None:
    fill(tmp_path, "x.txt/a.txt")
    assert names_of(tmp_path) == ["x.txt/a.txt"]
    assert names_of(tmp_path / "x.txt") == ["a.txt"]
