"""An experiment that brings a model of its own."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from tests.project import Project

README = Path(__file__).parents[2] / "README.md"
MODEL = '''
"""Predicts the next token from the last one alone."""

from torch import Tensor, nn

from ml_playground.config.sections import ModelConfig
from ml_playground.models.base import LanguageModel


class Bigram(LanguageModel):
    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.block_size = config.block_size
        self.vocab_size = vocab_size
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids)


build = Bigram
'''


@pytest.fixture(autouse=True)
def own_model(project: Project) -> None:
    (project.folder / "model.py").write_text(MODEL)
    project.configure({"train.model.file": '"tiny/model.py"', "train.optim.learning_rate": "0.1"})
    project.ok("prepare")


def test_it_trains_resumes_and_samples_like_ours(project: Project) -> None:
    project.ok("train")
    losses = [row["val/loss"] for row in project.metrics() if "val/loss" in row]
    assert losses[-1] < losses[0]
    project.configure({"train.runtime.max_iters": "8"})
    assert "resuming from step 6" in project.ok("train").out
    assert project.ok("sample").out.count("---------------") == 2
    assert f"{22 * 22:,} parameters" in project.ok("describe").out
    assert str(project.root) not in (project.out / "run.json").read_text()


@pytest.mark.parametrize("name", ["transformer", "norm"])
def test_a_file_may_be_called_like_a_module_of_ours(project: Project, name: str) -> None:
    ours = importlib.import_module(f"ml_playground.models.{name}")
    (project.folder / f"{name}.py").write_text(f"import ml_playground.models.{name}\n{MODEL}")
    project.configure({"train.model.file": f'"tiny/{name}.py"'})
    project.ok("train")
    project.ok("sample")
    assert sys.modules[f"ml_playground.models.{name}"] is ours


def test_a_file_that_has_changed_since_is_told(project: Project) -> None:
    project.ok("train")
    path = project.folder / "model.py"
    path.write_text(path.read_text().replace("return self.table(ids)", "return 2 * self.table(ids)"))
    project.configure({"train.runtime.max_iters": "8"})
    assert project.ok("sample").err.startswith("[train.model] file: tiny/model.py has changed since ckpt_best.pt\n")
    assert "[train.model] file: tiny/model.py has changed since ckpt_last.pt\n" in project.ok("train").err
    project.configure({"train.runtime.max_iters": "9"})
    assert "has changed" not in project.ok("train").err


def test_a_checkpoint_never_names_the_code_to_run(project: Project) -> None:
    """What it says of a file may come from a stranger; only the configuration's own file is run."""
    project.ok("train")
    lines = project.config.read_text().splitlines()
    project.config.write_text("\n".join(line for line in lines if not line.startswith("file = ")))
    outcome = project.run("sample")
    assert outcome.code == 2
    assert "its model comes from tiny/model.py. Name that file in [train.model] file" in outcome.err


def test_the_model_that_the_readme_shows_works(project: Project) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (project.folder / "model.py").write_text(example)
    project.ok("train")
    assert project.ok("sample").out.count("---------------") == 2
    assert "model     tiny/model.py: " in project.ok("describe").out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, " is not a Python file"),
        ("", " has no function build(config, vocab_size)"),
        (
            "build = lambda config, vocab_size: None",
            ": build(config, vocab_size) returned a NoneType, not a LanguageModel.",
        ),
        (MODEL.replace("self.block_size =", "size ="), ": its model lacks the attribute block_size"),
    ],
)
def test_a_file_without_a_model_is_told(project: Project, text: str | None, problem: str) -> None:
    path = project.folder / "model.py"
    path.unlink() if text is None else path.write_text(text)
    outcome = project.run("train")
    assert outcome.code == 2
    assert f"tiny/model.py{problem}" in outcome.err
