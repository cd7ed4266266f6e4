"""What a shell offers after the Tab key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_playground.commands import VERBS
from tests.project import Project

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def offered(line: str, cwd: Path) -> list[str]:
    """What bash offers for the last word of a command line."""
    script = f"""
        eval "$(register-python-argcomplete ml-playground)"
        COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
        read -ra COMP_WORDS <<< "$COMP_LINE"; [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _python_argcomplete ml-playground
        printf "%s\\n" "${{COMPREPLY[@]}}"
    """
    # Of this checkout, whichever of several the environment was made for.
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    outcome = subprocess.run(
        ["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    return [word.strip() for word in outcome.stdout.splitlines()]


def test_verbs_are_offered(tmp_path: Path) -> None:
    assert {word for word in offered("ml-playground ", tmp_path) if not word.startswith("-")} == set(VERBS)
    assert offered("ml-playground est", tmp_path) == ["estimate"]
    assert {"experiments", "parts"} <= set(offered("ml-playground list ", tmp_path))


def test_experiments_are_offered_by_name_and_by_folder(project: Project) -> None:
    assert offered("ml-playground train phr", project.root) == ["phrases"]
    assert {"phrases", "shakespeare_char", "tiny/"} <= set(offered("ml-playground train ", project.root))


def test_toml_files_are_offered(project: Project) -> None:
    project.preset("wide", 'extends = "config.toml"')
    given = set(offered("ml-playground train tiny --exp-config tiny/", project.root))
    assert {"tiny/config.toml", "tiny/wide.toml", "tiny/raw/"} <= given
    assert not any(word.endswith(".py") for word in given)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_served(shell: str) -> None:
    program = PROGRAMS / "register-python-argcomplete"
    outcome = subprocess.run([program, "--shell", shell, "ml-playground"], capture_output=True, text=True, check=True)
    assert "ml-playground" in outcome.stdout
