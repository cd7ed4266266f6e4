import tomllib
from pathlib import Path

import pytest

import ml_playground
from ml_playground.config.locate import key_lines
from ml_playground.utils.tables import Table, is_table

PACKAGE = Path(ml_playground.__file__).parent


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("a = 1", ("a",), 1),
        ("\n\na = 1", ("a",), 3),
        ("[t]\na = 1\n[u]\na = 2", ("u", "a"), 4),
        ("[t.u]\na = 1", ("t",), 1),
        ("[t.u]\na = 1", ("t", "u"), 1),
        ("[t.u]\na = 1\n[t]\nb = 1", ("t",), 1),
        ("a.b = 1", ("a", "b"), 1),
        ("[ t ]\n'x y' = 1\n\"z\\u0041\" = 2", ("t", "x y"), 2),
        ("[ t ]\n'x y' = 1\n\"z\\u0041\" = 2", ("t", "zA"), 3),
        ('["t.u"]\na = 1', ("t.u", "a"), 2),
        ("[[t]]\na = 1", ("t", "a"), 2),
        ("# [x]\na = 1", ("a",), 2),
        ('a = "# no comment"\nb = 1 # [x]\nc = 2', ("c",), 3),
        ("a = [\n  1, # ]\n  [2]\n]\nb = 1", ("b",), 5),
        ('a = """\n[t]\nb = 1\n"""\nc = 1', ("c",), 5),
        ("a = '''\nb = 1\n'''\nc = 1", ("c",), 4),
        ('a = "x\\"y = 3"\nb = 1', ("b",), 2),
        ('a = """x""""\nb = 1', ("b",), 2),
        ("a = {b = 1, c = [\n1]}\nd = 1", ("d",), 3),
        ("a = 1979-05-27T07:32:00Z\nb = 1.5e-3", ("b",), 2),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
    ],
)
def test_a_key_is_found_on_its_line(text: str, key: tuple[str, ...], line: int) -> None:
    tomllib.loads(text)
    assert key_lines(text)[key] == line


def test_text_that_only_looks_like_a_key_is_none() -> None:
    assert set(key_lines('a = """\n[t]\nb = 1\n"""\nc = [\n"d = 1",\n]')) == {("a",), ("c",)}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.toml")), ids=lambda path: path.stem)
def test_every_key_of_a_shipped_file_has_the_line_that_states_it(path: Path) -> None:
    text = path.read_text()
    lines = key_lines(text)

    def check(table: Table, at: tuple[str, ...]) -> None:
        for name, value in table.items():
            if is_table(value) and f"\n{name} = {{" not in text:  # keys of inline tables have no lines of their own
                check(value, (*at, name))
            else:
                assert text.splitlines()[lines[(*at, name)] - 1].startswith(f"{name} =")

    check(tomllib.loads(text), ())
