"""TOML files and what they extend, with the line that states each key."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ml_playground.config.experiment import option_fields
from ml_playground.config.locate import key_lines
from ml_playground.config.tables import KeyPath, Table, table_at
from ml_playground.errors import ConfigError


@dataclass(frozen=True)
class Layer:
    """One TOML file: its values, with absolute paths, and the line of each key."""

    path: Path
    values: Table
    lines: dict[KeyPath, int]


def project_root(path: Path) -> Path:
    """Where relative paths of the file `path` count from: its nearest parent with a pyproject.toml, else its folder."""
    folder = path.absolute().parent
    return next((parent for parent in (folder, *folder.parents) if (parent / "pyproject.toml").is_file()), folder)


def shown(path: Path) -> str:
    """`path` as a message shows it: relative to the current folder where it is below, and printable."""
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return str(path).encode(errors="backslashreplace").decode()


def read_layers(path: Path, extended_by: tuple[Path, ...] = ()) -> list[Layer]:
    """The file at `path` and all that it extends, the most basic one first.

    Raises:
        ConfigError: a file is missing, unreadable or not TOML, or the files extend each other in a circle.
    """
    text, values = _read(path)
    lines = key_lines(text)
    extends = values.pop("extends", None)
    _anchor_paths(values, project_root(path))
    layer = Layer(path, values, lines)
    if extends is None:
        return [layer]
    at = f"{shown(path)}:{lines[('extends',)]}: extends"
    if not isinstance(extends, str):
        raise ConfigError([f"{at}: must be text, the path of another TOML file"])
    candidates = dict.fromkeys([path.parent / extends, project_root(path) / extends])
    parent = next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)
    if parent is None:
        raise ConfigError([f"{at}: no such file (looked for {' and '.join(str(shown(each)) for each in candidates)})"])
    chain = (*extended_by, path.resolve())
    if parent in chain:
        raise ConfigError([f"{at}: goes in a circle ({' -> '.join(str(shown(each)) for each in (*chain, parent))})"])
    return [*read_layers(parent, chain), layer]


def _read(path: Path) -> tuple[str, Table]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin files with a mark
    except OSError as error:
        raise ConfigError([f"{shown(path)}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{shown(path)}: is not UTF-8 text (byte {error.start})"]) from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # tomllib ends its message with "(at line 3, column 5)" or "(at end of document)".
        what, _, where = str(error).rpartition(" (at ")
        line = where.split()[1].rstrip(",") if where.startswith("line") else text.count("\n") + 1
        raise ConfigError([f"{shown(path)}:{line}: not valid TOML: {what}"]) from None


def _anchor_paths(values: Table, root: Path) -> None:
    """Make the paths of one file absolute, in place: they count from that file's project root."""
    for (*tables, name), field in option_fields():
        table = table_at(values, tables)
        value = table.get(name) if table else None
        if table is None or not isinstance(value, str) or not value or "\0" in value:
            continue  # what is no path is left for the validation to tell
        if Path in (field.annotation, *get_args(field.annotation)):
            table[name] = root / _home(value)
        elif name in ("init_from", "tokenizer_from", "model_name") and (
            (path := root / _home(value)).exists() or _must_be_path(value, root)
        ):
            table[name] = str(path)  # anything else is a name at Hugging Face's hub
        elif name == "start" and value.startswith("FILE:"):
            table[name] = f"FILE:{root / _home(value.removeprefix('FILE:'))}"


def _must_be_path(value: str, root: Path) -> bool:
    """Whether the name of a model is evidently meant as a path, which is not for the hub to see if nothing is there."""
    first, *rest = value.split("/")
    return value.startswith((".", "/", "~")) or (len(rest) == 1 and first != "" and (root / first).is_dir())


def _home(path: str) -> Path:
    """`path` with a `~` at its beginning spelt out, where the system knows that user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
