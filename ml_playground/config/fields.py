"""What a section of a TOML file is, the ways in which an option can get its default, and what is made of several."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A TOML table: unknown keys, wrong types, NaN and infinity are refused, and nothing changes once it is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def same_as(keys: str, description: str, **constraints: Any) -> Any:
    """A field that defaults to the value of another key, such as `train.data.block_size`.

    `keys` may name several, with a space between them: the first that has a value is taken.
    """
    return Field(description=description, json_schema_extra={"same_as": keys}, **constraints)


def from_experiment(value: str, description: str) -> Any:
    """A field whose default depends on the experiment's name or folder; `value` says how, for the docs."""
    return Field(description=description, json_schema_extra={"from_experiment": value})


def of_kind(description: str, **constraints: Any) -> Any:
    """A field of the model whose default is that of its family."""
    return Field(description=description, json_schema_extra={"of_kind": True}, **constraints)


def derived(value: str, description: str, **constraints: Any) -> Any:
    """A field whose default is computed from others of its section; `value` says how, for the docs."""
    return Field(description=description, json_schema_extra={"derived": value}, **constraints)


def known_encoding(name: str) -> str:
    """`name`, if Python can read and write text in it, or it is `auto`. Raises ValueError."""
    if name != "auto":
        try:
            "a".encode(name).decode(name)
        except (LookupError, ValueError):  # there is none of that name, or it is not for text, as "rot13" and "uu"
            raise ValueError(f'unknown encoding "{name}" ("auto", "utf-8" and "cp1252" are the usual ones)') from None
    return name


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """`values`, if checkpoints and JSON can hold them as they are. Raises ValueError."""

    def check(value: Any, at: str) -> None:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in inner:
            check(each, f"{at}.{key}" if at else str(key))
        if not isinstance(value, str | bool | int | float | list | dict):
            raise ValueError(f"{at} must be text, a number, true or false, a list or a table, not {value}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{at} must be a finite number, not {value}")

    check(values, "")
    return values


class ModelSource(NamedTuple):
    """What a user brings for a model: a Python file, or the name or folder of a trained model. Without, it is ours.

    Attributes:
        file: see `[train.model]`.
        model_name: see `[train.hf_model]`.
        revision: see there.
        adapters: whether that model is trained through adapters.
    """

    file: Path | None = None
    model_name: str | None = None
    revision: str | None = None
    adapters: bool = True
