"""What `make` makes of the options that it is given. Nothing is run: -n prints the commands."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "option", ["exp=phrases", "Exp=phrases", "config=x.toml", "EXPERIMENT=phrases", "CFG=x", "logdir=y"]
)
@pytest.mark.parametrize("target", ["train", "tensorboard", "describe"])
def test_a_misspelt_option_is_refused_instead_of_running_the_default(option: str, target: str) -> None:
    outcome = make(target, option)
    assert outcome.returncode == 2
    assert f"unknown option {option.partition('=')[0]}=: there are EXP= CONFIG=" in outcome.stderr


def test_an_empty_experiment_is_refused() -> None:
    assert "EXP= is empty" in make("train", "EXP=").stderr


def test_options_reach_the_command_line_whole() -> None:
    said = make("train", "EXP=../my poems", "CONFIG=a b/c.toml").stdout
    assert 'train "../my poems" --exp-config "a b/c.toml"' in said


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ([], "ml_playground/experiments/phrases/out"),
        (["EXP=shakespeare"], "ml_playground/experiments/shakespeare/out"),
        (["EXP=ml_playground/experiments/shakespeare"], "ml_playground/experiments/shakespeare/out"),
        (["EXP=/far/poems"], "/far/poems/out"),
        (["EXP=../poems"], "../poems/out"),
        (["EXP=."], "./out"),
        (["EXP=../poems", "LOGDIR=x"], "x"),
    ],
)
def test_tensorboard_looks_where_the_experiment_is(options: list[str], folder: str) -> None:
    outcome = make("tensorboard", *options)
    assert f'tensorboard --logdir "{folder}" ' in outcome.stdout, outcome.stderr
