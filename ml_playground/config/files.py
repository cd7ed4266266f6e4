"""TOML files and what they extend, with the line that states each key."""

import os
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from pydantic.fields import FieldInfo

from ml_playground.config.fields import expanded, is_model_name, is_prompt
from ml_playground.config.locate import key_lines, too_deep
from ml_playground.errors import ConfigError
from ml_playground.utils.files import read_file
from ml_playground.utils.paths import display_path, in_package, project_root, real_path
from ml_playground.utils.tables import KeyPath, Table, large_integers, table_at

_LARGEST = 2**20  # bytes of a TOML file


@dataclass(frozen=True)
class TomlFile:
    """One TOML file: its values and the line of each key."""

    path: Path
    values: Table
    lines: dict[KeyPath, int]
    stands_alone: bool  # it says by `extends = false` that it is complete


def read_toml_files(path: Path) -> list[TomlFile]:
    """The file at `path` and all that it extends, the most basic one first.

    Raises:
        ConfigError: a file is missing, unreadable or not TOML, or the files extend each other in a circle.
    """
    toml_files: dict[Path, TomlFile] = {}
    following: Path | None = real_path(path)
    while following is not None:
        file = following
        text, values = _read(file)
        lines = key_lines(text)
        extends = values.pop("extends", None)
        _refuse_large_integers(file, values, lines)
        toml_files[file] = TomlFile(file, values, lines, stands_alone=extends is False)
        following = None
        if extends is not None and extends is not False:
            following = _extended(extends, file, f"{display_path(file)}:{lines[('extends',)]}: extends")
        if following in toml_files:
            circle = [*list(toml_files)[list(toml_files).index(following) :], following]
            way = " -> ".join(display_path(each) for each in circle)
            raise ConfigError([f"{display_path(file)}:{lines[('extends',)]}: extends: goes in a circle ({way})"])
    return list(toml_files.values())[::-1]


def _extended(extends: object, file: Path, at: str) -> Path:
    """The file that `file` extends, looked for beside it, then from its project root, then in this package."""
    if not isinstance(extends, str):
        raise ConfigError([f"{at}: must be text, the path of another TOML file (or false, for none)"])
    try:
        stated = expanded(extends)
    except ValueError as error:
        raise ConfigError([f"{at}: {error}"]) from None
    places = (file.parent / stated, project_root(file) / stated, in_package(Path(stated)))
    candidates = dict.fromkeys(place for place in places if place is not None)
    found = next((candidate for candidate in candidates if os.path.exists(candidate)), None)  # noqa: PTH110 -- see below
    if found is None:
        raise ConfigError(
            [f"{at}: no such file (looked for {' and '.join(display_path(each) for each in candidates)})"]
        )
    return real_path(found)


def _read(path: Path) -> tuple[str, Table]:
    try:
        text = read_file(path, _LARGEST).decode("utf-8-sig")  # some editors begin files with a mark
    except OSError as error:
        raise ConfigError([f"{display_path(path)}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{display_path(path)}: is not UTF-8 text (byte {error.start})"]) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (deep := too_deep(text)) is not None:  # tomllib would need minutes for some, and its recursion ends at others
        raise ConfigError([f"{display_path(path)}:{deep}: tables or lists are nested too deeply"])
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # tomllib ends its message with "(at line 3, column 5)" or "(at end of document)".
        what, _, where = str(error).rpartition(" (at ")
        line = where.split()[1].rstrip(",") if where.startswith("line") else text.count("\n") + 1
        raise ConfigError([f"{display_path(path)}:{line}: not valid TOML: {what}"]) from None
    except ValueError:  # Python's limit to the digits of a number
        raise ConfigError([f"{display_path(path)}: not valid TOML: a number has thousands of digits"]) from None


def _refuse_large_integers(path: Path, values: Table, lines: dict[KeyPath, int]) -> None:
    """TOML's integers have 64 bits; tomllib reads longer ones, which nothing here can compute with."""
    problems: list[str] = []
    for key in large_integers(values):
        line = next(lines[key[:length]] for length in range(len(key), 0, -1) if key[:length] in lines)
        problems.append(
            f"{display_path(path)}:{line}: [{'.'.join(key[:-1])}] {key[-1]}: does not fit into a 64-bit integer"
        )
    if problems:
        raise ConfigError(problems)


def anchor_paths(values: Table, root: Path, options: Iterable[tuple[KeyPath, FieldInfo]]) -> None:
    """Make the paths of one file absolute, in place: they count from that file's project root.

    What cannot be a path stays as it is, for the validation to report.
    """
    for (*tables, name), field in options:
        table = values if not tables else table_at(values, tables)
        value: object = table.get(name) if table else None
        if table is not None and value:
            table[name] = _anchored(value, root, field)


def _anchored(value: object, root: Path, field: FieldInfo) -> object:
    if isinstance(value, list):
        return [_anchored(each, root, field) for each in cast("list[object]", value)]
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        if _is_path(field.annotation):
            return root / expanded(value)
        if is_model_name(field):
            path = root / expanded(value)  # what is not a path may be a name at the Hub
            is_path = os.path.exists(path) or _must_be_path(value, root)  # noqa: PTH110 -- any name may be asked for
            return str(path) if is_path else expanded(value)
        if is_prompt(field) and value.startswith("FILE:"):
            return f"FILE:{root / expanded(value.removeprefix('FILE:'))}"
    return value


def _is_path(annotation: object) -> bool:
    return annotation is Path or any(_is_path(each) for each in get_args(annotation))


def _must_be_path(value: str, root: Path) -> bool:
    """Whether the name of a model is clearly meant as a path, so that it is not looked up on the Hub."""
    first, *rest = value.split("/")
    return value.startswith((".", "/", "~", "$")) or (len(rest) == 1 and first != "" and (root / first).is_dir())
