"""How a verb of the table is run."""

import argparse
import gc
from importlib.util import find_spec

import pytest

from ml_playground.commands import VERBS, Argument, Verb


def test_garbage_is_collected_again_once_a_verb_is_imported(capsys: pytest.CaptureFixture[str]) -> None:
    VERBS["list"].run("ml_playground.commands.list", argparse.Namespace(what="experiments"))
    assert "phrases" in capsys.readouterr().out
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError):
        Verb("nothing").run("ml_playground.commands.nowhere", argparse.Namespace())
    assert gc.isenabled()


def test_a_verb_gets_its_arguments_by_their_names() -> None:
    verb = Verb("help", (Argument("name", {}), Argument("--port-number", {"type": int, "default": 80})))
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    options = parser.parse_args(["x", "--port-number", "81"])
    assert {each.key: getattr(options, each.key) for each in verb.arguments} == {"name": "x", "port_number": 81}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module_and_a_line_of_help_that_the_makefile_can_read(verb: str) -> None:
    assert find_spec(f"ml_playground.commands.{verb}") is not None
    assert '"' not in VERBS[verb].help
