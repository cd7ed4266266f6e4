"""What a section of a TOML file is, the ways in which an option can get its default, and what is made of several."""

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from ml_playground.utils.tables import Table, is_table


class Section(BaseModel):
    """A TOML table: unknown keys, wrong types, NaN and infinity are refused, and nothing changes once it is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def completed(cls, stated: Table) -> Table:
        """What a table states, with defaults that depend on it."""
        return stated


def default_from(keys: str, description: str, **constraints: Any) -> Any:
    """A field that defaults to the value of another key, such as `train.data.block_size`.

    `keys` may name several, with a space between them: the first that has a value is taken.
    """
    return Field(description=description, json_schema_extra={"default_from": keys}, **constraints)


def experiment_default(value: str, description: str) -> Any:
    """A field whose default depends on the experiment's name or folder; `value` says how, for the docs."""
    return Field(description=description, json_schema_extra={"experiment_default": value})


def family_default(description: str, **constraints: Any) -> Any:
    """A field of the model whose default is that of its family."""
    return Field(description=description, json_schema_extra={"family_default": True}, **constraints)


def derived(value: str, description: str, **constraints: Any) -> Any:
    """A field whose default is computed from others of its section; `value` says how, for the docs."""
    return Field(description=description, json_schema_extra={"derived": value}, **constraints)


def is_derived(field: FieldInfo) -> bool:
    """Whether an option's default is computed from others of its section."""
    return is_table(field.json_schema_extra) and "derived" in field.json_schema_extra


def expanded(path: str) -> str:
    """A path as a TOML file states it, with `~`, `~user`, `$NAME` and `${NAME}` replaced by what they are.

    Raises ValueError where they are unknown: no folder is ever called `~` or `$NAME`.
    """
    if "\0" in path:
        raise ValueError("a path cannot have a NUL character")

    def value(match: re.Match[str]) -> str:
        name = match[1].strip("{}")
        if not os.environ.get(name):
            raise ValueError(f"environment variable {name} is not set (in {json.dumps(path, ensure_ascii=False)})")
        return os.environ[name]

    named = re.sub(r"\$(\w+|\{[^}]*\})", value, path)
    try:
        return str(Path(named).expanduser())
    except RuntimeError:
        user = named.partition("/")[0].removeprefix("~")
        raise ValueError(f"there is no user {user} (in {json.dumps(path, ensure_ascii=False)})") from None


def model_name(name: str | None) -> str | None:
    """A folder or a name at the Hub, unchanged. Raises ValueError if it needs a variable or a user that is unknown."""
    if name is not None:
        expanded(name)
    return name


def prompt(start: str) -> str:
    """A prompt, unchanged. Raises ValueError if it names a file by a path that cannot be."""
    if start.startswith("FILE:"):
        expanded(start.removeprefix("FILE:"))
    return start


def is_model_name(field: FieldInfo) -> bool:
    """Whether an option names a model."""
    return any(isinstance(each, AfterValidator) and each.func is model_name for each in field.metadata)


def is_prompt(field: FieldInfo) -> bool:
    """Whether an option is a prompt."""
    return any(isinstance(each, AfterValidator) and each.func is prompt for each in field.metadata)


def zero_or_from(lowest: float) -> Any:
    """A check of numbers so small that dividing by them gives infinity: they must be 0, or at least `lowest`."""

    def check(value: float) -> float:
        if 0 < value < lowest:
            raise ValueError(f"must be 0 or at least {lowest:g}, not {value:g}")
        return value

    return AfterValidator(check)


def known_encoding(name: str) -> str:
    """`name`, if Python can read and write text in it, or it is `auto`. Raises ValueError."""
    if name != "auto":
        try:
            "a".encode(name.encode("ascii").decode()).decode(name)
        except (LookupError, ValueError):  # there is none of that name, or it is not for text, as "rot13" and "uu"
            raise ValueError(f'unknown encoding "{name}" ("auto", "utf-8" and "cp1252" are the usual ones)') from None
    return name


def true_or_names(value: object) -> object:
    """`value`, if it is true, false or a list of texts. Raises ValueError."""
    if isinstance(value, bool) or is_list_of_texts(value):
        return value
    raise ValueError("must be true, false or a list of names in quotes")


def is_list_of_texts(value: object) -> TypeGuard[list[str]]:
    """Whether a TOML value is a list of texts."""
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """`values`, if checkpoints and JSON can hold them as they are. Raises ValueError."""

    def check(value: Any, at: str) -> None:
        inner: Iterable[tuple[object, Any]] = value.items() if is_table(value) else ()
        if isinstance(value, list):
            inner = enumerate(cast("list[object]", value))
        for key, each in inner:
            check(each, f"{at}.{key}" if at else str(key))
        if not isinstance(value, str | bool | int | float | list | dict):
            raise ValueError(f"{at} must be text, a number, true or false, a list or a table, not {value}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{at} must be a finite number, not {value}")

    check(values, "")
    return values


class ConfigFile(NamedTuple):
    """The TOML file that a configuration was read from.

    Attributes:
        path: where it is.
        root: its project's folder.
        names_run: whether the file itself, not one that it extends, states `[train.runtime] out_dir`.
    """

    path: Path
    root: Path
    names_run: bool
