"""How an experiment is found."""

from pathlib import Path

import pytest

from ml_playground import experiments
from ml_playground.errors import PlaygroundError
from tests.project import Project

HOME = Path(experiments.__file__).parent


def problem(name: str) -> str:
    with pytest.raises(PlaygroundError) as error:
        experiments.find(name)
    return str(error.value)


def test_it_is_named_or_its_folder_is_by_whatever_way(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert experiments.find("phrases").folder == HOME / "phrases"
    (project.root / "link").symlink_to("tiny")
    for way in ("tiny", "./tiny", "link", "tiny/out/..", str(project.folder), "link/../tiny"):
        (project.folder / "out").mkdir(exist_ok=True)
        found = experiments.find(way)
        assert (found.folder, found.name) == (project.folder, "tiny")
    monkeypatch.chdir(project.folder / "out")
    assert experiments.find("..").name == "tiny"


def test_a_file_is_not_an_experiment_and_the_message_says_what_to_type(project: Project) -> None:
    preset = "ml_playground/configs/shakespeare_cpu.toml"
    root = HOME.parents[1]
    assert problem(str(root / preset)).endswith(f"Name the experiment first: shakespeare --exp-config {root / preset}")
    project.preset("my wide", 'extends = "config.toml"')
    assert problem("tiny/my wide.toml").endswith("Name the experiment first: tiny --exp-config 'tiny/my wide.toml'")
    assert problem("tiny/config.toml").endswith("Name the experiment first: tiny")
    (project.root / "alone.toml").write_text("nonsense")
    assert problem("alone.toml").endswith("Name the experiment first: <experiment> --exp-config alone.toml")
    assert problem("missing.toml").startswith("missing.toml: no such file.")
    assert "is a file, not an experiment" in problem("tiny/prepare.py")


@pytest.mark.usefixtures("project")
def test_a_folder_without_a_configuration_is_named() -> None:
    assert problem("tiny/raw") == "tiny/raw: no config.toml in this folder (a preset is passed with --exp-config)"
    assert "did you mean phrases?" in problem("phrase")
