from pathlib import Path

import pytest

from ml_playground.errors import DamagedFolderError
from ml_playground.utils.checksums import verify_checksums, write_checksums

FILES = {"config.json": b'{"lora_alpha": 16}\n', "weights.safetensors": bytes(range(256)), "größe.txt": b"text"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    write_checksums(tmp_path)
    return tmp_path


def test_a_folder_is_as_it_was_written(folder: Path) -> None:
    verify_checksums(folder)
    (folder / "notes.md").write_text("a file that came later")
    verify_checksums(folder)


@pytest.mark.parametrize("name", [*FILES, "checksums.json"])
def test_any_flipped_bit_in_any_file_is_found(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (folder / name).write_bytes(flipped)
        with pytest.raises(DamagedFolderError):
            verify_checksums(folder)


@pytest.mark.parametrize("name", [*FILES, "checksums.json"])
def test_files_that_are_missing_or_cut_short_are_named(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(DamagedFolderError, match=name):
            verify_checksums(folder)
    path.unlink()
    with pytest.raises(DamagedFolderError, match=name):
        verify_checksums(folder)


@pytest.mark.parametrize("text", ["{", '{"config.json": NaN}\n', "[" * 100_000, '["config.json"]\n', '{"a": 1}'])
def test_a_list_that_is_none_is_named(folder: Path, text: str) -> None:
    (folder / "checksums.json").write_text(text)
    with pytest.raises(DamagedFolderError, match=r"checksums\.json: damaged"):
        verify_checksums(folder)
