import json
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ml_playground.config.sections import PrepareConfig
from ml_playground.data import manifest as manifest_module
from ml_playground.data import prepare as prepare_module
from ml_playground.data import store
from ml_playground.data import text as text_module
from ml_playground.data.manifest import differences, read_manifest
from ml_playground.data.prepare import prepare_texts
from ml_playground.data.store import open_dataset, token_dtype
from ml_playground.data.tokenizers.base import Ids
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import DataError, StorageError
from ml_playground.utils import checksums
from tests.full_disk import full_disk
from tests.project import texts_in

TEXT = "one two three\nfour five six\nseven eight nine\n"


def config_for(folder: Path, **options: object) -> PrepareConfig:
    paths = {"dataset_dir": folder / "datasets", "raw_dir": folder / "raw"}
    defaults = {"dataset": "mine", **paths}
    return PrepareConfig.model_validate(defaults | options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "raw" / "input.txt"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def test_the_token_files_hold_the_text(source: Path, tmp_path: Path) -> None:
    manifest = prepare_texts([source], config_for(tmp_path))
    dataset = open_dataset(tmp_path / "datasets", config_for(tmp_path))
    both = dataset.tokenizer.decode(dataset.train) + dataset.tokenizer.decode(dataset.val)
    assert both == TEXT
    assert (manifest.train.tokens, manifest.val.tokens) == (len(dataset.train), len(dataset.val))
    assert manifest.train.bytes + manifest.val.bytes == len(TEXT.encode())


def test_token_files_are_raw_little_endian_ids_that_nanogpt_reads(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    characters = sorted(set(TEXT))
    ids = np.fromfile(tmp_path / "datasets" / "train.bin", dtype="<u2")
    assert "".join(characters[token] for token in ids) == TEXT[: int(len(TEXT) * 0.9)]


def test_lines_become_documents_behind_a_start_token(source: Path, tmp_path: Path) -> None:
    config = config_for(tmp_path, source="lines", split={"val_fraction": 0.3})
    manifest = prepare_texts([source], config)
    dataset = open_dataset(tmp_path / "datasets", config)
    start = dataset.tokenizer.start_id
    assert (manifest.train.documents, manifest.val.documents) == (2, 1)
    assert start == manifest.vocab_size - 1
    assert dataset.train[0] == dataset.val[0] == start
    assert np.count_nonzero(dataset.train == start) == 2
    lines = {dataset.tokenizer.decode(part) for ids in (dataset.train, dataset.val)
             for part in np.split(ids, np.flatnonzero(ids == start)) if len(part)}  # fmt: skip
    assert lines == set(TEXT.splitlines())


def test_several_files_are_joined_with_a_line_end_between(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.txt")]
    for file in files:
        file.write_text(f"text of {file.stem}")
    prepare_texts(files, config_for(tmp_path))
    dataset = open_dataset(tmp_path / "datasets", config_for(tmp_path))
    joined = dataset.tokenizer.decode(dataset.train) + dataset.tokenizer.decode(dataset.val)
    assert joined == "text of a\ntext of b"


def test_a_second_time_nothing_is_done(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_texts([source], config_for(tmp_path))
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "datasets").iterdir()}
    capsys.readouterr()
    prepare_texts([source], config_for(tmp_path))
    assert "up to date" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "datasets").iterdir()} == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("text", r"raw/input.txt has changed"),
        ("setting", r"\[prepare.split\] val_fraction was 0.1, is 0.2"),
        ("new file", r"raw/new.txt is new"),
        ("token file", r"train.bin is missing or damaged"),
        ("missing", r"val.bin is missing or damaged"),
        ("manifest", r"meta.json: damaged"),
        ("version", r"meta.json: format 5, this version reads 4"),
    ],
)
def test_what_no_longer_matches_is_prepared_again(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, reason: str
) -> None:
    datasets, files, options = tmp_path / "datasets", [source], {}
    prepare_texts(files, config_for(tmp_path))
    match change:
        case "text":
            source.write_text(TEXT + "ten\n")
        case "setting":
            options = {"split": {"val_fraction": 0.2}}
        case "new file":
            (tmp_path / "raw" / "new.txt").write_text("more")
            files = [source, tmp_path / "raw" / "new.txt"]
        case "token file":
            flipped = bytearray((datasets / "train.bin").read_bytes())
            flipped[4] ^= 1
            (datasets / "train.bin").write_bytes(flipped)
        case "missing":
            (datasets / "val.bin").unlink()
        case "manifest":
            (datasets / "meta.json").write_text('{"format": 1')
        case _:
            (datasets / "meta.json").write_text('{"format": 5}')
    capsys.readouterr()
    prepare_texts(files, config_for(tmp_path, **options))
    said = capsys.readouterr().out
    assert "preparing again: " in said
    assert re.search(reason, said)
    config = config_for(tmp_path, **options)
    manifest = read_manifest(datasets)
    assert manifest is not None
    assert differences(manifest, config, files) == []


def test_nothing_stale_is_used_silently(source: Path, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    prepare_texts([source], config)
    stale = (
        r"stale \(\[prepare.source\] kind was 'text', is 'lines'; \[prepare.split\] kind was 'position', is 'hash'\)"
    )
    with pytest.raises(DataError, match=rf"{stale}. Run 'prepare' again"):
        open_dataset(tmp_path / "datasets", config_for(tmp_path, source="lines"))
    (tmp_path / "raw" / "b.txt").write_text("more")
    with pytest.raises(DataError, match=r"raw/b.txt is new"):
        open_dataset(tmp_path / "datasets", config)
    (tmp_path / "raw" / "b.txt").unlink()
    other = config_for(tmp_path, raw_dir=tmp_path / "other")
    with pytest.raises(DataError, match=r"raw_dir was '../raw', is '../other'"):
        open_dataset(tmp_path / "datasets", other)
    with pytest.raises(DataError, match=r"dataset was 'mine', is 'yours'"):
        open_dataset(tmp_path / "datasets", config_for(tmp_path, dataset="yours"))
    source.write_text("changed")
    with pytest.raises(DataError, match=r"raw/input.txt has changed"):
        open_dataset(tmp_path / "datasets", config)


def test_training_needs_no_raw_text_once_it_is_prepared(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    source.unlink()
    open_dataset(tmp_path / "datasets", config_for(tmp_path))


def test_a_token_file_cut_short_is_refused(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    path = tmp_path / "datasets" / "train.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"train\.bin: \d+ bytes, \d+ expected"):
        open_dataset(tmp_path / "datasets", config_for(tmp_path))


def test_a_token_file_with_another_token_in_it_is_refused(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    path = tmp_path / "datasets" / "val.bin"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(DataError, match=r"val\.bin: its checksum is not that of the manifest"):
        open_dataset(tmp_path / "datasets", config_for(tmp_path))


def test_nothing_prepared_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prepared data. Run 'prepare' first"):
        open_dataset(tmp_path, config_for(tmp_path))


@pytest.mark.parametrize(("text", "kind"), [("", "text"), ("x", "text"), ("\n\n", "lines"), ("one\n", "lines")])
def test_too_little_text_to_split_is_refused(source: Path, tmp_path: Path, text: str, kind: str) -> None:
    source.write_text(text)
    with pytest.raises(DataError, match="too little text to split") as error:
        prepare_texts([source], config_for(tmp_path, source=kind))
    assert "doc_separator" not in str(error.value)  # which these kinds do not have


def test_a_failed_preparation_leaves_what_was_there(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    before = {path.name: path.read_bytes() for path in (tmp_path / "datasets").iterdir()}
    source.write_bytes(b"\xff")
    with pytest.raises(DataError):
        prepare_texts([source], config_for(tmp_path))
    assert {path.name: path.read_bytes() for path in (tmp_path / "datasets").iterdir()} == before


def test_a_disk_that_is_full_at_the_last_file_leaves_what_was_there(source: Path, tmp_path: Path) -> None:
    """The manifest, with its vocabulary, is the largest of the three."""
    prepare_texts([source], config_for(tmp_path))
    before = {path.name: path.read_bytes() for path in (tmp_path / "datasets").iterdir()}
    source.write_text(TEXT + "".join(map(chr, range(0x3B1, 0x3C9))))
    largest = max(map(len, before.values()))
    with full_disk(largest), pytest.raises(StorageError):
        prepare_texts([source], config_for(tmp_path))
    assert {path.name: path.read_bytes() for path in (tmp_path / "datasets").iterdir()} == before


@pytest.mark.parametrize(("kind", "split"), [("text", "position"), ("text", "files"), ("lines", "hash")])
def test_memory_does_not_grow_with_the_text(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, split: str
) -> None:
    """But for twenty bytes per line, where lines are documents.

    With two workers at most six blocks are under way, however fast each of them is. Blocks this small take less than
    1 MB together, and the table of characters 1 MB; the text has 16 MB.
    """
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(text_module, "_BLOCK", 2**14)
    source.write_text("".join(f"{number:01000}\n" for number in range(16_000)))
    tracemalloc.start()
    prepare_texts([source], config_for(tmp_path, source=kind, split=split))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < source.stat().st_size / 2


def test_characters_need_no_place_to_cut_the_text(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As byte pair encodings do."""
    lengths: list[int] = []
    plain = CharTokenizer.encode

    def encode(self: CharTokenizer, text: str) -> Ids:
        lengths.append(len(text))
        return plain(self, text)

    monkeypatch.setattr(CharTokenizer, "encode", encode)
    source.write_text("-+" * 500_000)
    assert prepare_texts([source], config_for(tmp_path)).train.tokens == 900_000
    assert max(lengths) <= 2**18


def test_a_large_token_file_is_mapped_and_a_small_one_in_memory(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_texts([source], config_for(tmp_path))
    resident = open_dataset(tmp_path / "datasets", config_for(tmp_path)).train
    monkeypatch.setattr(store, "_RESIDENT", 10)
    mapped = open_dataset(tmp_path / "datasets", config_for(tmp_path)).train
    assert not isinstance(resident, np.memmap)
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(resident, mapped)
    assert resident.dtype == mapped.dtype


def test_a_text_that_is_encoded_in_many_pieces_is_encoded_in_its_order(
    source: Path, tmp_path: Path, gpt2: TiktokenTokenizer
) -> None:
    text = "".join(f"{number} bottles of beer on the wall,\n" for number in range(40_000))
    source.write_text(text)
    config = config_for(tmp_path, tokenizer="gpt2")
    manifest = prepare_texts([source], config)
    train = open_dataset(tmp_path / "datasets", config).train
    assert np.array_equal(train, gpt2.encode(text[: int(len(text) * 0.9)]))
    assert manifest.train.documents == manifest.val.documents == 1


def test_a_terminal_shows_how_far_the_text_is_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_texts([source], config_for(tmp_path))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    source.write_text(TEXT * 2)
    prepare_texts([source], config_for(tmp_path))
    assert f"/{2 * len(TEXT):.1f}".rstrip("0").rstrip(".") in capsys.readouterr().err


def test_a_manifest_names_no_folder_of_this_machine(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    assert str(tmp_path) not in (tmp_path / "datasets" / "meta.json").read_text()


def test_any_change_of_the_manifest_is_found(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    path = tmp_path / "datasets" / "meta.json"
    whole = path.read_bytes()
    first = read_manifest(path.parent)
    for offset in range(len(whole)):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        with pytest.raises(DataError, match=r"meta\.json: .*Run 'prepare' again\."):
            read_manifest(path.parent)
    path.write_bytes(whole)
    assert read_manifest(path.parent) == first


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b"null", b'"x"', b'{"format": 5}', b'{"format": []}', b"[" * 100_000,
     b'{"a":' * 50_000, b"1" * 10_000, b'{"format": 4, "checksum": 5}', b"\xff\xfe{", b'{"format": "\\ud800"}'],
)  # fmt: skip
def test_a_damaged_manifest_is_made_again(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    config = config_for(tmp_path)
    before = prepare_texts([source], config)
    (config.dataset_dir / "meta.json").write_bytes(content)
    with pytest.raises(DataError, match="Run 'prepare' again"):
        open_dataset(config.dataset_dir, config)
    capsys.readouterr()
    assert prepare_texts([source], config) == before
    assert "preparing again: " in capsys.readouterr().out
    open_dataset(config.dataset_dir, config)


def test_a_manifest_that_is_a_pipe_does_not_hang(source: Path, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    prepare_texts([source], config)
    (config.dataset_dir / "meta.json").unlink()
    os.mkfifo(config.dataset_dir / "meta.json")
    with pytest.raises(DataError, match="named pipe"):
        open_dataset(config.dataset_dir, config)
    prepare_texts([source], config)
    open_dataset(config.dataset_dir, config)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were hashed."""
    names: list[str] = []
    plain = checksums.sha256_of

    def sha256_of(path: Path) -> str:
        names.append(path.name)
        return plain(path)

    monkeypatch.setattr(manifest_module, "sha256_of", sha256_of)
    return names


def test_text_is_hashed_again_only_once_its_file_has_changed(source: Path, tmp_path: Path, hashed: list[str]) -> None:
    config = config_for(tmp_path)
    prepare_texts([source], config)
    assert hashed == ["input.txt"]
    prepare_texts([source], config)
    open_dataset(config.dataset_dir, config)
    assert hashed == ["input.txt"]
    os.utime(source)  # touched, but the same
    prepare_texts([source], config)
    open_dataset(config.dataset_dir, config)
    assert hashed == ["input.txt"] * 3


def test_token_files_are_not_hashed_where_settings_differ_and_only_once_where_they_do_not(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def sha256_of(path: Path) -> str:
        names.append(path.name)
        return checksums.sha256_of(path)

    monkeypatch.setattr(prepare_module, "sha256_of", sha256_of)
    prepare_texts([source], config_for(tmp_path))
    prepare_texts([source], config_for(tmp_path, split={"val_fraction": 0.2}))
    assert names == []
    (tmp_path / "datasets" / "val.bin").write_bytes(b"")
    prepare_texts([source], config_for(tmp_path, split={"val_fraction": 0.2}))
    assert names == ["train.bin", "val.bin"]


def test_a_change_right_after_preparing_is_seen(source: Path, tmp_path: Path) -> None:
    """Of the same size, and so soon that the file system's clock might not have moved."""
    config = config_for(tmp_path)
    for number in range(20):
        source.write_text(f"{number:03} {TEXT}")
        prepare_texts([source], config)
        source.write_text(f"{number:03} {TEXT.upper()}")
        with pytest.raises(DataError, match="has changed"):
            open_dataset(config.dataset_dir, config)


def test_text_that_changes_while_it_is_read_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CharTokenizer.encode

    def encode(self: CharTokenizer, text: str) -> Ids:
        source.write_text(TEXT.replace("one", "eno"))
        return plain(self, text)

    monkeypatch.setattr(CharTokenizer, "encode", encode)
    with pytest.raises(DataError, match=r"input\.txt has changed while it was read\. Run 'prepare' again"):
        prepare_texts([source], config_for(tmp_path))


@pytest.mark.parametrize(
    "name", [b"caf\xe9.txt", b"back\\slash.txt", b"back\\x41.txt", "größe.txt".encode(), b"%41.txt"]
)
def test_any_name_of_a_file_will_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: bytes) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    path = raw / os.fsdecode(name)
    path.write_text(TEXT)
    config = config_for(tmp_path)
    prepare_texts(texts_in(raw), config)
    prepare_texts(texts_in(raw), config)
    assert "up to date" in capsys.readouterr().out
    path.write_text(TEXT.upper())
    with pytest.raises(DataError, match="has changed"):
        open_dataset(config.dataset_dir, config)
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match="not utf-8") as refused:
        prepare_texts(texts_in(raw), config)
    str(refused.value).encode()


def test_a_dataset_folder_behind_a_link_notices_changes(source: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "datasets").symlink_to(tmp_path / "far" / "away")
    config = config_for(tmp_path)
    prepare_texts([source], config)
    source.write_text(TEXT.upper())
    with pytest.raises(DataError, match=r"raw/input\.txt has changed"):
        open_dataset(config.dataset_dir, config)


def test_nothing_is_written_or_locked_where_nothing_is_to_be_done(source: Path, tmp_path: Path) -> None:
    """As in a folder that may only be read."""
    config = config_for(tmp_path)
    prepare_texts([source], config)
    (config.dataset_dir / "prepare.lock").unlink(missing_ok=True)
    changed = config.dataset_dir.stat().st_mtime_ns
    prepare_texts([source], config)
    assert config.dataset_dir.stat().st_mtime_ns == changed
    assert not (config.dataset_dir / "prepare.lock").exists()


def test_one_long_line_is_warned_of(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(f"a line\n{'long ' * 10_000}\n")
    manifest = prepare_texts([source], config_for(tmp_path, source="lines"))
    assert min(manifest.train.bytes, manifest.val.bytes) == 7  # with its line end
    assert re.search(
        r"! validation has [\d.]+% of the text, where \[prepare.split\] val_fraction = 0\.1", capsys.readouterr().out
    )


MIXED = {"a.txt": "the cat sat\n" * 40, "b.txt": "the dog ran\n" * 40, "c.txt": "кот сидел\n" * 9}


@pytest.mark.parametrize("split", ["position", "files"])
def test_files_that_are_in_validation_alone_are_named_and_can_be_split_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, text in MIXED.items():
        (raw / name).write_text(text, encoding="utf-8")
    config = config_for(tmp_path, split={"kind": split, "val_fraction": 0.21})
    prepare_texts(texts_in(raw), config)
    said = capsys.readouterr().out
    dataset = open_dataset(config.dataset_dir, config)
    train, val = (dataset.tokenizer.decode(ids) for ids in (dataset.train, dataset.val))
    if split == "position":
        assert re.search(
            r"! 41% of the validation text is from files of which nothing is trained on \(.*c\.txt\)", said
        )
        assert "к" not in train
    else:
        assert "nothing is trained on" not in said
        for text in MIXED.values():
            cut = int(len(text) * 0.79)
            assert text[:cut] in train
            assert text[cut:] in val
        assert train.count("\n") + val.count("\n") >= 89 + 2  # files that were cut within a line do not run together


def test_a_setting_of_how_files_are_split_makes_data_stale(source: Path, tmp_path: Path) -> None:
    prepare_texts([source], config_for(tmp_path))
    with pytest.raises(DataError, match=r"\[prepare.split\] kind was 'position', is 'files'"):
        open_dataset(tmp_path / "datasets", config_for(tmp_path, split="files"))


@pytest.mark.parametrize("tokenizer", ["gpt2", "char"])
def test_a_separator_that_names_the_end_token_is_that_token(
    source: Path, tmp_path: Path, gpt2: TiktokenTokenizer, tokenizer: str
) -> None:
    source.write_text("<|endoftext|>".join(f"text {number}\n" for number in range(20)))
    config = config_for(tmp_path, source="files", doc_separator="<|endoftext|>", tokenizer=tokenizer)
    prepare_texts([source], config)
    train = open_dataset(config.dataset_dir, config).train
    if tokenizer == "gpt2":
        assert np.count_nonzero(train == gpt2.start_id) == 2 * 18  # one begins and one ends each document
    else:
        assert open_dataset(config.dataset_dir, config).tokenizer.decode(train).count("<|endoftext|>") == 18


def test_what_is_not_a_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "input.txt")
    for path, why in ((tmp_path / "input.txt", "named pipe"), (tmp_path, "a folder"), (tmp_path / "b.txt", "missing")):
        with pytest.raises(DataError, match=why):
            prepare_texts([path], config_for(tmp_path))
    assert not (tmp_path / "datasets").exists()


def test_fingerprints_tell_data_apart(source: Path, tmp_path: Path) -> None:
    first = prepare_texts([source], config_for(tmp_path)).fingerprint
    source.write_text(TEXT.replace("one", "eno"))
    assert prepare_texts([source], config_for(tmp_path)).fingerprint != first
    source.write_text(TEXT.replace("t", "T"))  # the same ids, one of which stands for another character
    assert prepare_texts([source], config_for(tmp_path)).fingerprint != first
    source.write_text(TEXT)
    assert prepare_texts([source], config_for(tmp_path)).fingerprint == first


def test_large_vocabularies_take_four_bytes() -> None:
    assert token_dtype(65536) == np.dtype("<u2")
    assert token_dtype(65537) == np.dtype("<u4")


def test_shakespeare_in_gpt2_tokens_counts_as_nanogpt_does(
    real_data: Path, tmp_path: Path, gpt2: TiktokenTokenizer
) -> None:
    manifest = prepare_texts(
        [real_data / "tinyshakespeare" / "input.txt"], config_for(tmp_path, tokenizer=gpt2.encoding)
    )
    assert (manifest.train.tokens, manifest.val.tokens) == (301_966, 36_059)


def test_shakespeare_by_character_counts_as_nanogpt_does(real_data: Path, tmp_path: Path) -> None:
    manifest = prepare_texts([real_data / "tinyshakespeare" / "input.txt"], config_for(tmp_path))
    assert (manifest.train.tokens, manifest.val.tokens, manifest.vocab_size) == (1_003_854, 111_540, 65)
    stored = json.loads((tmp_path / "datasets" / "meta.json").read_text())
    assert stored["dtype"] == "uint16"
