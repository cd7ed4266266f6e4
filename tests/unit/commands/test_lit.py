"""The verb `lit`, as far as it goes without LIT."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ml_playground.cli import main
from ml_playground.commands.lit.names import unique_names

ROOT = Path(__file__).parents[3]


def test_the_folder_at_the_root_has_no_python_file() -> None:
    """One with an `__init__.py` would hide the installed `lit_nlp` from everything that is started from the root."""
    assert (ROOT / "lit_nlp" / "requirements.txt").is_file()
    assert not list((ROOT / "lit_nlp").rglob("*.py"))


def test_that_folder_is_not_taken_for_the_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("lit_nlp.app") is not None:
        pytest.skip("LIT is installed here")
    monkeypatch.syspath_prepend(str(ROOT))
    assert main(["lit", "phrases"]) == 2
    assert "LIT is not installed here" in capsys.readouterr().err


def test_without_that_folder_it_is_missing_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where this package was installed as a wheel."""
    if find_spec("lit_nlp.app") is not None:
        pytest.skip("LIT is installed here")
    monkeypatch.delitem(sys.modules, "lit_nlp", raising=False)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not (Path(each) / "lit_nlp").is_dir()])
    assert main(["lit", "phrases"]) == 2
    assert "`make lit`, in a clone of the repository" in capsys.readouterr().err


def test_mistakes_show_before_anything_heavy_is_imported() -> None:
    code = "import sys; from ml_playground.cli import main; print(main(['lit', 'nothing']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"


def test_runs_are_told_apart_by_as_few_folders_as_needed() -> None:
    assert unique_names([Path("/a/out/x"), Path("/a/out/y")]) == ["x", "y"]
    assert unique_names([Path("/a/out/x"), Path("/b/out/x")]) == ["a-out-x", "b-out-x"]
    assert unique_names([Path("/a/lr=0.1, wide: 2/x")] * 1) == ["x"]
    assert unique_names([Path("/a/lr=0.1, wide: 2")]) == ["lr-0.1-wide-2"]
    assert unique_names([Path("/a/größe"), Path("/a/b&c#d")]) == ["größe", "b-c-d"]
    assert unique_names([Path("/a/&"), Path("/b/#")]) == ["a", "b"]


def test_runs_of_a_sweep_are_named_by_their_arms_and_seeds() -> None:
    paths = [Path(f"/a/out/s/{each}") for each in ("base/seed-1", "wide/seed-1", "wide/seed-2")] + [Path("/a/out/x")]
    arms = dict(zip(paths, ("base", "wide", "wide"), strict=False))
    assert unique_names(paths, arms) == ["base", "wide-seed-1", "wide-seed-2", "x"]
    assert unique_names([paths[0], Path("/a/base")], arms) == ["base", "a-base"]
