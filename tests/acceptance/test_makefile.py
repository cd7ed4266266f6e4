"""What `make` makes of the options that it is given. Nothing is run: -n prints the commands."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ml_playground.commands import VERBS

ROOT = Path(__file__).parents[2]
# `make test` passes on its options and its depth, at which make also names the folders that it enters and leaves.
OUTSIDE_MAKE = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, env=OUTSIDE_MAKE, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_table_is_a_target_that_passes_on_what_is_set(verb: str) -> None:
    *_, command = make("-n", verb, "EXP=shakespeare", "CONFIG=x.toml").stdout.splitlines()
    assert command.rstrip().endswith(f'python -m ml_playground.cli {verb} "shakespeare" --exp-config "x.toml"')


@pytest.mark.parametrize("verb", VERBS)
def test_only_what_must_name_an_experiment_has_one_by_default(verb: str) -> None:
    *_, command = make("-n", verb).stdout.splitlines()
    needs_one = any(argument.name == "experiment" for argument in VERBS[verb].arguments)
    assert (command.rstrip().rpartition(" ")[2] != verb) is needs_one


def test_help_has_what_the_command_line_says_of_each_verb_and_no_other() -> None:
    said = make("help").stdout
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", said, re.MULTILINE))
    assert {verb: listed[verb] for verb in VERBS} == {name: verb.help for name, verb in VERBS.items()}
    database = make("-pn", "help").stdout
    (found,) = re.findall(r"^VERBS := (.*)$", database, re.MULTILINE)
    assert found.split() == list(VERBS)


@pytest.mark.parametrize(
    "option", ["exp=phrases", "Exp=phrases", "config=x.toml", "EXPERIMENT=phrases", "CFG=x", "logdir=y"]
)
@pytest.mark.parametrize("target", ["train", "tensorboard", "describe"])
def test_a_misspelt_option_is_refused_instead_of_running_the_default(option: str, target: str) -> None:
    outcome = make("-n", target, option)
    assert outcome.returncode == 2
    assert f"unknown option {option.partition('=')[0]}=: there are EXP= CONFIG=" in outcome.stderr


def test_an_empty_experiment_is_refused() -> None:
    assert "EXP= is empty" in make("-n", "train", "EXP=").stderr


def test_options_reach_the_command_line_whole() -> None:
    said = make("-n", "train", "EXP=../my poems", "CONFIG=a b/c.toml").stdout
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
    outcome = make("-n", "tensorboard", *options)
    assert f'tensorboard --logdir "{folder}" ' in outcome.stdout, outcome.stderr
