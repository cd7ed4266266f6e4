"""What a section of a TOML file is, and the ways in which an option can get its default."""

from typing import Any

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
