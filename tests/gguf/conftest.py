"""Prints what was measured as the table of docs/export.md."""

from pathlib import Path

import pytest

from ml_playground.cli import main
from ml_playground.data.text import TextFile
from tests.gguf.parity import CONTEXT, FURTHER_KINDS, KINDS, LLAMA_CPP, STEPS, TOKENIZERS, Run
from tests.project import Project

ROWS: list[str] = []
"""Filled in by the tests."""

HEAD = """\
| model | tokenizer | file | tokens alike | greedy tokens alike | largest difference of a log-probability |
| --- | --- | --- | --- | --- | --- |"""


@pytest.fixture
def table() -> list[str]:
    """Rows to print at the end."""
    return ROWS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if ROWS:
        terminalreporter.write_line("\n".join(["", HEAD, *sorted(ROWS)]))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Run:
    """Trains a kind of model with a kind of tokenizer, once, and exports it in float32, by both ways."""
    done: dict[tuple[str, str], Project] = {}

    def trained(kind: str, tokenizer: str) -> Project:
        if (kind, tokenizer) in done:
            return done[kind, tokenizer]
        project = Project(tmp_path_factory.mktemp("run"))
        german = TextFile.find(real_data / "bundestag" / "raw" / "18081.txt", "auto")
        project.text.write_text("".join(german.pieces())[:300_000], encoding="utf-8")
        options = {f"prepare.{key}": value for key, value in TOKENIZERS[tokenizer].items()}
        options |= {f"train.model.{key}": value for key, value in (KINDS | FURTHER_KINDS)[kind].items()}
        options |= {
            "train.model.kind": f'"{kind.split(",")[0]}"',
            "train.model.n_layer": "2",
            "train.model.n_embd": "64",
            "train.model.block_size": str(CONTEXT),
            "train.data.block_size": "64",
            "train.optim.learning_rate": "0.01",
            "train.runtime.max_iters": str(STEPS),
            "train.runtime.eval_interval": str(STEPS),
            "train.runtime.eval_iters": "20",
            "export.gguf.dtype": '"f32"',
        }
        if tokenizer == "GPT-2":
            options["export.ollama.convert_bin"] = f'"{LLAMA_CPP}"'
        project.configure(options)
        for verb in ("prepare", "train", "export"):
            assert main([verb, str(project.folder)]) == 0
        done[kind, tokenizer] = project
        return project

    return trained
