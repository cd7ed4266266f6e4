"""Runs that are trained once for all tests."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_playground.cli import main
from tests.project import Project

if TYPE_CHECKING:
    from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
    from tests.lit.shown import Shown


@pytest.fixture(scope="session", autouse=True)
def lit() -> None:
    """LIT, without which nothing here can run."""
    if find_spec("lit_nlp.app") is None:
        message = "LIT is not installed here: `make test-lit` sets up an environment with it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


def trained(project: Project) -> Project:
    for verb in ("prepare", "train"):
        assert main([verb, str(project.folder)]) == 0
    return project


@pytest.fixture(scope="session")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two runs of models of characters, which differ in their size, `tiny` and `other`; lines are documents."""
    project = Project(tmp_path_factory.mktemp("characters"))
    project.configure(
        {"prepare.source": '"lines"', "prepare.split.val_fraction": "0.4", "train.model.block_size": "32"}
    )
    project.configure({"train.model.n_layer": "2"})
    trained(project)
    project.configure(
        {"train.runtime.out_dir": '"tiny/out/other"', "train.model.n_layer": "1", "train.model.kind": '"llama"'}
    )
    trained(project)
    project.configure({"train.runtime.out_dir": '"tiny/out/tiny"', "train.model.kind": '"gpt2"'})
    project.configure({"train.model.n_layer": "2", "lit.examples": "12"})
    return project


@pytest.fixture(scope="session")
def shown(characters: Project) -> "Shown":
    """The two of them side by side."""
    from tests.lit.shown import Shown

    return Shown(characters, [Path(characters.folder / "out")])


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> "Shown":
    """A model of Transformers with adapters, on speeches with speakers and parties."""
    from tests.integration.finetuning import fine_tuning
    from tests.lit.shown import Shown

    project = fine_tuning(Project(tmp_path_factory.mktemp("tuned")), "qwen2")
    return Shown(trained(project))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory, gpt2: "TiktokenTokenizer") -> "Shown":
    """A model of GPT-2's tokens, on a running text: no documents, and most words are one token with their blank."""
    from tests.lit.shown import Shown

    assert gpt2.vocab_size
    project = Project(tmp_path_factory.mktemp("words"))
    project.configure({"prepare.tokenizer": '"gpt2"', "train.model.block_size": "16", "lit.examples": "100"})
    project.configure({"prepare.split.val_fraction": "0.4"})
    return Shown(trained(project))
