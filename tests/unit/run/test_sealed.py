import hashlib
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.run import seal, sealed

WEIGHTS = torch.arange(2000.0)
VALUES = {"weights": WEIGHTS, "names": ["ä", "b"], "nothing": torch.empty(0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ckpt.pt"
    sealed.write(path, VALUES, {"step": 3})
    return path


def test_values_and_header_come_back(path: Path) -> None:
    values, is_sealed = sealed.read(path)
    assert is_sealed
    assert torch.equal(values["weights"], WEIGHTS)
    assert values["names"] == ["ä", "b"]
    header = seal.read_header(path)
    assert header is not None
    assert header["step"] == 3
    assert torch.equal(torch.load(path, weights_only=True)["weights"], WEIGHTS)


def test_any_flipped_bit_is_found(path: Path) -> None:
    """Every byte of the archive's structure, and some of the numbers."""
    whole = path.read_bytes()
    numbers = whole.index(WEIGHTS.numpy().tobytes())
    within = range(numbers, numbers + 8000, 97)
    for place in [*range(numbers), *within, *range(numbers + 8000, len(whole))]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedCheckpointError):
            sealed.read(path)


def test_the_bit_that_makes_torch_hand_out_memory_that_nobody_wrote_is_found(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    entry = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"data/0") + 6)  # of the weights in the directory
    whole[entry + 38] ^= 0x10  # among its external attributes
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with pytest.raises(DamagedCheckpointError, match="its checksum does not match"):
        sealed.read(path)


@pytest.mark.parametrize("kept", [0, 1, 21, 22, 100, 5000, -1, -2, -63, -64, -65, -200])
def test_a_file_cut_short_is_found(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedCheckpointError):
        sealed.read(path)


@pytest.mark.parametrize("more", [b"\0", b"x" * 100, b"PK\5\6" + bytes(18)])
def test_a_file_with_more_behind_it_is_found(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(CheckpointError):
        sealed.read(path)


def test_torch_itself_does_not_find_a_flipped_bit(path: Path) -> None:
    """Why there is a seal. If this fails, torch has learnt it and ours can go."""
    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(WEIGHTS.numpy().tobytes()) + 100] ^= 1
    path.write_bytes(flipped)
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], WEIGHTS)


def rewritten(path: Path, **options: int) -> None:
    """The archive as another program writes it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[call-overload]  # compression
        for name, content in parts.items():
            archive.writestr(name, content)


def test_files_of_others_need_no_seal(path: Path) -> None:
    rewritten(path)
    values, is_sealed = sealed.read(path)
    assert not is_sealed
    assert torch.equal(values["weights"], WEIGHTS)
    assert seal.read_header(path) is None


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_refused_by_the_sizes_that_it_declares(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(2**24))
    with pytest.raises(DamagedCheckpointError, match="its parts declare 16,777,"):
        sealed.read(path)


def test_a_part_that_is_marked_as_a_folder_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0x10
            archive.writestr(info, content)
    with pytest.raises(DamagedCheckpointError, match="not written by torch"):
        sealed.read(path)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x80",
        b"\x80\x02}",
        b"\x80\x02.",
        b"\x80\x02]q\x00a.",
        b"\x80\x02h\x05.",
        b"\x80\x02X\xff\xff\xff\x7f",
        b"(" * 9,
    ],
)
def test_damaged_instructions_are_named(path: Path, damaged: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, damaged if name.endswith("data.pkl") else content)
    with pytest.raises(CheckpointError):
        sealed.read(path)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a file"):
        sealed.read(tmp_path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        sealed.read(tmp_path / "none.pt")


def test_what_is_not_a_table_is_not_a_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        sealed.read(tmp_path / "list.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DamagedCheckpointError):
        sealed.read(tmp_path / "plain.pt")


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 50_000, b"[1]", b""])
def test_a_header_that_is_none_is_damage_whatever_its_checksum_says(path: Path, text: bytes) -> None:
    whole = path.read_bytes()
    comment = text + hashlib.sha256(text).hexdigest().encode()
    path.write_bytes(whole[: whole.rindex(b"PK\x05\x06") + 20] + len(comment).to_bytes(2, "little") + comment)
    for read in (sealed.read, seal.read_header):
        with pytest.raises(DamagedCheckpointError, match="its header is not a table"):
            read(path)
