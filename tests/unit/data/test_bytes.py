"""The bytes by which loss is divided: those of the raw text, whatever becomes of it."""

import io
import json
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.manifest import Manifest
from ml_playground.data.prepare import prepare_texts
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import DataError
from tests.project import texts_in

WAYS: list[dict[str, Any]] = [
    {"source": "text", "tokenizer": "char"},
    {"source": "text", "tokenizer": "gpt2"},
    {"source": "text", "tokenizer": "char", "split": "files"},
    {"source": "lines", "tokenizer": "char"},
    {"source": "lines", "tokenizer": "gpt2"},
    {"source": "files", "tokenizer": "char", "doc_separator": "\n\n"},
    {"source": "files", "tokenizer": "gpt2", "doc_separator": "é"},
]
texts = st.lists(st.text(alphabet="aé日\U0001f98a \n", min_size=1, max_size=40), min_size=1, max_size=3)


def prepared(folder: Path, **options: object) -> Manifest | None:
    """None where there is too little to split."""
    stated = {"dataset": "x", "raw_dir": folder / "raw", "dataset_dir": folder / "datasets", **options}
    config = PrepareConfig.model_validate(stated)
    try:
        with redirect_stdout(io.StringIO()):
            return prepare_texts(texts_in(folder / "raw"), config)
    except DataError as error:
        if "too little text to split" not in str(error):
            raise
        return None


@given(texts)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_text_has_the_same_bytes_in_whatever_tokens_and_documents(gpt2: TiktokenTokenizer, raw: list[str]) -> None:
    assert gpt2.vocab_size  # that it can be had
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "raw").mkdir()
        for index, text in enumerate(raw):
            (folder / "raw" / f"{index}.txt").write_text(text, encoding="utf-8")
        for way in WAYS:
            manifest = prepared(folder, **way)
            if manifest is None:
                continue
            blank = 0  # files without a document, which no source of documents has any bytes of
            if way["source"] != "text":
                separators = str.maketrans("", "", way.get("doc_separator", ""))
                blank = sum(len(text.encode()) for text in raw if not text.translate(separators).strip())
            assert manifest.train.bytes + manifest.val.bytes == sum(len(text.encode()) for text in raw) - blank


def test_the_same_validation_text_has_the_same_bytes_by_line_and_by_file(
    tmp_path: Path, gpt2: TiktokenTokenizer
) -> None:
    """Lines as documents, and each of them in a file of its own: the same go to validation."""
    assert gpt2.vocab_size  # that it can be had
    lines = [f"Zeile {number}, größer\n" for number in range(40)]
    folders = {"lines": ["".join(lines)], "files": lines}
    found: dict[str, int] = {}
    for kind, contents in folders.items():
        raw = tmp_path / kind / "raw"
        raw.mkdir(parents=True)
        for index, content in enumerate(contents):
            (raw / f"{index:02}.txt").write_text(content, encoding="utf-8")
        for tokenizer in ("char", "gpt2"):
            manifest = prepared(tmp_path / kind, source=kind, tokenizer=tokenizer)
            assert manifest is not None
            found[f"{kind} {tokenizer}"] = manifest.val.bytes
    assert len(set(found.values())) == 1, found


def test_bytes_that_lines_leave_out_are_those_of_the_line_before(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("\n \nA\n\n\nB\nC", encoding="utf-8")
    manifest = prepared(tmp_path, source="lines", split={"val_fraction": 0.3})
    assert manifest is not None
    rows = {"A": 3 + 4, "B": 2, "C": 1}
    characters = json.loads((tmp_path / "datasets" / "meta.json").read_text())["tokenizer"]["characters"]
    (line,) = [characters[token] for token in (tmp_path / "datasets" / "val.bin").read_bytes()[2::2]]
    assert manifest.val.bytes == rows[line]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_line_ends_count_as_one_byte(tmp_path: Path, ends: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_bytes(f"\ufeffeins{ends}zwei{ends}".encode())
    manifest = prepared(tmp_path)
    assert manifest is not None
    assert manifest.train.bytes + manifest.val.bytes == len("eins\nzwei\n")
