"""A tiny project on disk, used the way a user would: edit files, run commands, read what they say."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_playground.cli import main
from ml_playground.config.sections import ModelConfig, ModelOptions, PrepareConfig
from ml_playground.data.prepare import find_texts

PREPARE = '''
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.experiments import register


@register("tiny")
def main(config: PrepareConfig) -> None:
    """Prepare the texts in raw_dir."""
    prepare_texts(find_texts(config), config)
'''

CONFIG = """\
[prepare]
raw_dir = "tiny/raw"

[train.model]
n_layer = 1
n_head = 2
n_embd = 16

[train.data]
batch_size = 4
block_size = 8

[train.schedule]
warmup_iters = 2

[train.runtime]
max_iters = 6
eval_interval = 2
log_interval = 1
device = "cpu"

[sample.runtime]
device = "cpu"

[sample.sample]
start = "the"
num_samples = 2
max_new_tokens = 12
"""

TEXT = "".join(f"the {animal} {verb} in the {place}\n" for animal in ("cat", "dog", "fox", "owl") for verb in
               ("sits", "runs", "sings") for place in ("barn", "rain", "park", "snow"))  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command left behind in the terminal."""

    code: int
    out: str
    err: str


def texts_in(raw_dir: Path, **options: object) -> list[Path]:
    """The files there that a source reads."""
    places: dict[str, object] = {"dataset": "d", "dataset_dir": raw_dir, "raw_dir": raw_dir}
    return find_texts(PrepareConfig.model_validate(places | options))


class Project:
    """A folder with the experiment `tiny`, whose text, configuration and run the tests look at and change."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str] | None = None) -> None:
        self.root = root
        self.folder = root / "tiny"
        self.config = self.folder / "config.toml"
        self.text = self.folder / "raw" / "input.txt"
        self.datasets = self.folder / "datasets"
        self.out = self.folder / "out" / "tiny"
        self._capsys = capsys
        (self.folder / "raw").mkdir(parents=True)
        (root / "pyproject.toml").touch()
        (self.folder / "prepare.py").write_text(PREPARE)
        self.config.write_text(CONFIG)
        self.text.write_text(TEXT)

    def configure(self, changes: dict[str, str]) -> None:
        """Set options, such as `{"train.runtime.max_iters": "3"}`, in TOML's own words."""
        lines = self.config.read_text().splitlines()
        for key, value in changes.items():
            table, _, name = key.rpartition(".")
            if f"[{table}]" not in lines:
                lines.append(f"[{table}]")
            start = lines.index(f"[{table}]") + 1
            end = next((i for i in range(start, len(lines)) if lines[i].startswith("[")), len(lines))
            kept = [line for line in lines[start:end] if line.split(" = ")[0] != name]
            lines[start:end] = [f"{name} = {value}", *kept]
        self.config.write_text("\n".join(lines) + "\n")

    def preset(self, name: str, text: str) -> Path:
        """Write a TOML file beside the experiment's own."""
        path = self.folder / f"{name}.toml"
        path.write_text(text)
        return path

    def run(self, verb: str, config: Path | None = None) -> Outcome:
        """Run a command in this process."""
        assert self._capsys is not None
        self._capsys.readouterr()
        code = main([verb, str(self.folder), *([] if config is None else ["--exp-config", str(config)])])
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def ok(self, verb: str, config: Path | None = None) -> Outcome:
        """Run a command that must succeed."""
        outcome = self.run(verb, config)
        assert outcome.code == 0, outcome.err
        return outcome

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`."""
        return [json.loads(line) for line in (self.out / "metrics.jsonl").read_text().splitlines()]


def shape(model: ModelOptions) -> ModelConfig:
    """The options of one of the built-in transformers."""
    assert isinstance(model, ModelConfig)
    return model
