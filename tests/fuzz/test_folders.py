"""Damaged and hostile folders in Hugging Face's format: a model, or one message. Nothing of them is run."""

import copy
import json
import random
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.of_model import tokenizer_of_model
from ml_playground.errors import PlaygroundError
from ml_playground.finetune.spec import FineTunedSpec
from ml_playground.interop.exportable import ExportableFolder
from ml_playground.interop.pretrained import load_pretrained
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.hub import fingerprint
from tests.integration.finetuning import write_model

KINDS = ("qwen2", "llama", "gpt2")
TRIALS = 60
VALUES: list[Any] = [None, True, -1, 0, 1, 3, 2**31, 2**63, 10**30, -1e308, 1e308, 0.5, "", "x", "../x", "\0", [],
                     [1], ["a"], {}, {"a": {"b": []}}, "kernels-community/attn", {"AutoConfig": "evil.C"}]  # fmt: skip
KEYS = ("auto_map", "attn_implementation", "quantization_config", "rope_scaling", "tie_word_embeddings", "dtype",
        "torch_dtype", "layer_types", "text_config", "vision_config", "id2label", "pruned_heads", "is_decoder",
        "add_cross_attention", "base_model_tp_plan", "sliding_window", "eos_token_id", "model_type")  # fmt: skip
TRAP = "import pathlib; pathlib.Path({!r}).touch()\nclass C: pass\n"


@pytest.fixture(scope="module", params=KINDS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("sound") / request.param, str(request.param))


def opened(folder: Path) -> list[Callable[[], object]]:
    """Every way in which a folder is opened."""
    hf_model = {"model_name": "x", "block_size": 8, "dtype": "float32"}
    args = {"hf_model": hf_model, "peft": {"r": 2}, "block_size": 8, "vocab_size": 300, "new_tokens": {}}

    def tokenizer() -> Tokenizer:
        return tokenizer_of_model(str(folder), packing="running")

    return [
        lambda: fingerprint(folder),
        tokenizer,
        lambda: FineTunedSpec(args, str(folder), None).build(),
        lambda: load_pretrained(
            str(folder), vocabulary=tokenizer(), text="Das ist nicht wahr.", block_size=8, dropout=0.0
        ),
        lambda: ExportableFolder.open(folder),
    ]


def survives(folder: Path) -> None:
    trap = folder / "trap"
    (folder / "evil.py").write_text(TRAP.format(str(trap)))
    for way in opened(folder):
        with suppress(PlaygroundError), memory_errors_explained():
            way()
    assert not trap.exists()


def changed(values: Any, rng: random.Random) -> Any:
    """A copy of JSON with a value or two changed somewhere."""
    values = copy.deepcopy(values)
    for _ in range(rng.randint(1, 2)):
        at = values
        while True:
            inner = (
                [key for key, value in at.items() if isinstance(value, dict) and value] if rng.random() < 0.7 else []
            )
            if not inner:
                break
            at = at[rng.choice(inner)]
        key = rng.choice([*at, *KEYS]) if at is values else rng.choice(list(at))
        if rng.random() < 0.2:
            at.pop(key, None)
        else:
            at[key] = rng.choice(VALUES)
    return values


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_any_value_in_a_json_file(sound: Path, tmp_path: Path, name: str) -> None:
    rng = random.Random(f"{sound.name} {name}")
    values = json.loads((sound / name).read_bytes())
    for trial in range(TRIALS):
        folder = Path(shutil.copytree(sound, tmp_path / str(trial)))
        (folder / name).write_text(json.dumps(changed(values, rng)))
        survives(folder)
        shutil.rmtree(folder)


TEXTS = ["", "{", "[]", "3", "null", '"x"', "[" * 100_000, '{"a":' * 50_000, "9" * 5000, '{"model_type": NaN}', "\x00",
         "\ufeff{}", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"]  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_any_content_of_a_file(sound: Path, tmp_path: Path, name: str) -> None:
    for trial, text in enumerate([*TEXTS, None]):
        folder = Path(shutil.copytree(sound, tmp_path / str(trial)))
        (folder / name).unlink()
        if text is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_text(text)
        survives(folder)
        shutil.rmtree(folder)


def test_any_damage_to_the_weights(sound: Path, tmp_path: Path) -> None:
    rng = random.Random(sound.name)
    content = (sound / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    for trial in range(TRIALS):
        folder = Path(shutil.copytree(sound, tmp_path / str(trial)))
        damaged = bytearray(content)
        match trial % 4:
            case 0:
                damaged[rng.randrange(8 + size)] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[rng.randrange(len(damaged)) :]
            case 2:
                damaged[:8] = struct.pack("<Q", rng.choice([0, 1, size - 1, size + 1, 2**40, 2**64 - 1]))
            case _:
                other = copy.deepcopy(header)
                entry = other[rng.choice([key for key in other if key != "__metadata__"])]
                field = rng.choice(["dtype", "shape", "data_offsets"])
                entry[field] = rng.choice(["I64", "BOOL", "F8_E4M3", "C64", [], [0], [-1, 4], [2**62, 4], [4, 2], 3])
                text = json.dumps(other).encode()
                damaged[:] = struct.pack("<Q", len(text)) + text + content[8 + size :]
        (folder / "model.safetensors").write_bytes(damaged)
        survives(folder)
        shutil.rmtree(folder)
