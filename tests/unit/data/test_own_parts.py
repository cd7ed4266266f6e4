"""Structure tokens of a source and in a tokenizer of a user's own, from a file that the TOML names in `plugins`."""

import json
from pathlib import Path

import pytest

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.data.manifest import differences
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.data.store import open_dataset
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.errors import CheckpointError, ConfigError
from ml_playground.utils.registry import use

PARTS = '''
import json

import numpy as np
from pydantic import Field

from ml_playground.config.registries import SOURCES, SPLITS, TOKENIZERS
from ml_playground.data.document import Document
from ml_playground.data.sources.base import Documents
from ml_playground.data.splits import DocumentsSplit
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.options import TokenizerOptions


@SOURCES.register("stories")
class Stories(Documents):
    """A story with its author in each line of JSON."""

    endings = (".jsonl",)
    fields = ("author",)

    shortest: int = Field(0, ge=0, description="characters that a story has at least")

    def documents(self, file, config, on_read):
        for line in "".join(file.pieces(on_read)).splitlines():
            row = json.loads(line)
            if len(row["story"]) >= self.shortest:
                yield Document(row["story"], {"author": row["author"]})


class ByteTokenizer(Tokenizer):
    """A token for each byte, and one for structure and separators."""

    def __init__(self, names):
        self.names, self.start_id, self.vocab_size = list(names), None, 257 + len(names)

    def encode(self, text):
        ids = []
        while text:
            name = next((each for each in self.names if text.startswith(each)), None)
            ids += [257 + self.names.index(name)] if name else text[0].encode()
            text = text[len(name or text[0]) :]
        return np.array(ids, dtype=np.int64)

    def token_bytes(self, token):
        return bytes([token]) if token < 256 else b"" if token == 256 else self.names[token - 257].encode()

    def separator(self):
        return np.array([256])

    def describe(self):
        return {"kind": "bytes", "names": self.names}


@TOKENIZERS.register("bytes")
class Bytes(TokenizerOptions):
    """A token for each byte of UTF-8."""

    takes_tokens = True

    def build(self, texts):
        return ByteTokenizer(texts.tokens)

    @classmethod
    def restore(cls, description):
        return ByteTokenizer(description["names"])


@SPLITS.register("author")
class ByAuthor(DocumentsSplit):
    """All that an author wrote."""

    name: str = Field("Ada", description="whose stories are for validation")

    def is_validation(self, document):
        return document.fields["author"] == self.name
'''
CONFIG = """\
plugins = ["parts.py"]
[prepare]
raw_dir = "raw"
source = {kind = "stories", shortest = 3}
tokenizer = "bytes"
split = {kind = "author", name = "Bo"}
add_structure_tokens = ["author"]
"""
STORIES = [("Ada", "Ein Fuß."), ("Bo", "Zwei Füße."), ("Ada", "x"), ("Cy", "Drei.")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the parts and some stories."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "raw").mkdir()
    rows = (json.dumps({"author": author, "story": story}) + "\n" for author, story in STORIES)
    (tmp_path / "raw" / "all.jsonl").write_text("".join(rows))
    return tmp_path


def load(folder: Path, text: str = CONFIG) -> ExperimentConfig:
    (folder / "config.toml").write_text(text)
    return load_config(folder / "config.toml", name="mine", folder=folder)


def test_structure_tokens_are_those_of_ones_own_source_in_ones_own_tokenizer(folder: Path) -> None:
    prepare = load(folder).prepare
    manifest = prepare_texts(find_texts(prepare), prepare)
    dataset = open_dataset(prepare.dataset_dir, prepare)
    assert dataset.tokenizer.decode(dataset.val) == "<author>Bo<text>Zwei Füße.</text>"
    assert dataset.tokenizer.decode(dataset.train) == ("<author>Ada<text>Ein Fuß.</text><author>Cy<text>Drei.</text>")
    assert (manifest.train.documents, manifest.val.documents) == (2, 1)
    assert manifest.val.bytes == len("BoZwei Füße.".encode())
    again = load_tokenizer(dataset.tokenizer.describe())
    assert again.encode("<author>Fuß").tolist() == dataset.tokenizer.encode("<author>Fuß").tolist()


def test_only_fields_of_the_source_can_have_tokens(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml:7: \[prepare\] add_structure_tokens: .*has author, not autor"):
        load(folder, CONFIG.replace('"author"]', '"autor"]'))


def test_a_tokenizer_whose_file_is_not_named_is_asked_for(folder: Path) -> None:
    prepare = load(folder).prepare
    manifest = prepare_texts(find_texts(prepare), prepare)
    use([])
    with pytest.raises(CheckpointError, match=r"unknown kind of tokenizer: 'bytes'\. If it is your own"):
        load_tokenizer(manifest.tokenizer)


def test_data_is_stale_once_the_code_of_its_source_has_changed(folder: Path) -> None:
    prepare = load(folder).prepare
    manifest = prepare_texts(find_texts(prepare), prepare)
    assert differences(manifest, prepare) == []
    changed = PARTS.replace('row["story"], {', 'row["story"].upper(), {')
    assert changed != PARTS
    (folder / "parts.py").write_text(changed)
    stale = differences(manifest, load(folder).prepare)
    assert any("[prepare.source] code was" in why for why in stale)
