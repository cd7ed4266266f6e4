import sys
from pathlib import Path

import pytest

from ml_playground.errors import PlaygroundError
from ml_playground.utils.modules import import_file


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.mark.parametrize(
    "statement",
    [
        "import helper",
        "from . import helper",
        "import helper as other; helper = other",
        "import types; from helper import *; helper = types.SimpleNamespace(WORD=WORD)",
        "import types; from .helper import WORD; helper = types.SimpleNamespace(WORD=WORD)",
    ],
)
def test_a_file_imports_the_helper_beside_it_and_never_that_of_another(tmp_path: Path, statement: str) -> None:
    main = f"{statement}\ndef word():\n    return helper.WORD\ndef later():\n    import helper\n    return helper.WORD"
    files = [write(tmp_path / name, main=main, helper=f"WORD = '{name}'") / "main.py" for name in ("a", "b")]
    one, other = map(import_file, files)
    assert (one.word(), other.word()) == ("a", "b")
    assert (one.later(), other.later()) == ("a", "b")
    assert "helper" not in sys.modules


def test_helpers_import_each_other_and_packages_beside_them(tmp_path: Path) -> None:
    write(tmp_path / "lib" / "deep", __init__="", most="from helper import LAST\nDEEP = LAST")
    write(tmp_path, helper="LAST = 1", second="import lib.deep.most\nfound = lib.deep.most.DEEP")
    write(tmp_path, main="import second, lib.deep.most as most\nfound = second.found, most.DEEP")
    assert import_file(tmp_path / "main.py").found == (1, 1)


def test_a_helper_is_read_again_with_its_file(tmp_path: Path) -> None:
    write(tmp_path, main="import helper", helper="WORD = 'before'")
    assert import_file(tmp_path / "main.py").helper.WORD == "before"
    write(tmp_path, helper="WORD = 'after, and longer'")
    assert import_file(tmp_path / "main.py").helper.WORD == "after, and longer"


def test_libraries_never_see_a_users_files(tmp_path: Path) -> None:
    write(tmp_path, main="import string, colorsys\nimport wave as w", string="MINE = True", chunk="raise ValueError")
    main = import_file(tmp_path / "main.py")
    assert main.string.MINE
    import string

    assert string.digits == "0123456789"
    assert str(tmp_path) not in sys.path


def test_the_package_itself_is_never_a_helper(tmp_path: Path) -> None:
    """A model file may lie in the folder of the clone, or of another one."""
    write(tmp_path / "ml_playground", __init__="", errors="")
    write(tmp_path, main="from ml_playground.errors import PlaygroundError")
    assert import_file(tmp_path / "main.py").PlaygroundError is PlaygroundError


@pytest.mark.parametrize("name", ["my-model", "2layers", "model.v2"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    write(tmp_path, helper="WORD = 1")
    (tmp_path / f"{name}.py").write_text(
        "from dataclasses import dataclass\nimport helper\n@dataclass\nclass A:\n    word: 'int' = helper.WORD\n"
    )
    assert import_file(tmp_path / f"{name}.py").A().word == 1


def test_what_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    for name in ("notes.txt", "missing.py"):
        with pytest.raises(PlaygroundError, match=f"{name} is not a Python file"):
            import_file(tmp_path / name)


def test_what_a_file_raises_comes_through(tmp_path: Path) -> None:
    write(tmp_path, main="import helper", helper="import nothing_of_that_name")
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        import_file(tmp_path / "main.py")
