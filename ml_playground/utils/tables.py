"""Small helpers for nested tables (dicts of dicts), as TOML gives them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard, cast

Table = dict[str, Any]
KeyPath = tuple[str, ...]


def is_table(value: object) -> TypeGuard[Table]:
    """Whether a TOML value is a table; its keys are strings, as TOML has no others."""
    return isinstance(value, dict)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """`base` with the values of `over`, table by table and key by key. Neither is changed."""
    merged: Table = {key: merge(value, {}) if is_table(value) else value for key, value in base.items()}
    for key, value in over.items():
        below = merged.get(key)
        if is_table(value):
            value = merge(below if is_table(below) else {}, value)
        merged[key] = value
    return merged


def table_at(values: Table, path: Sequence[str]) -> Table | None:
    """The table at `path`, None where there is none or the value there is not a table."""
    at: Any = values
    for name in path:
        at = at.get(name) if is_table(at) else None
    return at if is_table(at) else None


def nested(path: Sequence[str], value: object) -> Table:
    """The tables that have `value` at `path`."""
    *tables, name = path
    inner: Table = {name: value}
    for table in reversed(tables):
        inner = {table: inner}
    return inner


class Change(NamedTuple):
    """A key, such as "[train.optim] learning_rate", that has another value than before."""

    key: str
    before: Any
    now: Any


def changes(before: Table, now: Table, table: str) -> Iterator[Change]:
    """What differs between two versions of the table of that name, such as "train"."""
    for key in [*now, *(key for key in before if key not in now)]:
        old, new = before.get(key), now.get(key)
        if is_table(new) and (is_table(old) or old is None):
            yield from changes(old or {}, new, f"{table}.{key}")
        elif old != new:
            yield Change(f"[{table}] {key}", old, new)


def has_key(values: Table, key: KeyPath) -> bool:
    """Whether `values` has something at `key`."""
    table = table_at(values, key[:-1])
    return table is not None and key[-1] in table


def large_integers(values: Table, at: KeyPath = ()) -> Iterator[KeyPath]:
    """Keys whose value is, or holds, an integer of more than 64 bits."""
    for key, value in values.items():
        if is_table(value):
            yield from large_integers(value, (*at, key))
        elif _is_large(value):
            yield (*at, key)


def _is_large(value: object) -> bool:
    if isinstance(value, int):
        return not -(2**63) <= value < 2**63
    if is_table(value):  # in a list
        return any(map(_is_large, value.values()))
    return isinstance(value, list) and any(map(_is_large, cast("list[object]", value)))


def toml_lines(tables: Table, at: KeyPath = ()) -> Iterator[str]:
    """Nested tables as TOML lines."""
    values = {key: value for key, value in tables.items() if not is_table(value) and value is not None}
    if values:
        if at:
            yield f"[{'.'.join(map(_key, at))}]"
        yield from (f"{_key(key)} = {_value(value)}" for key, value in values.items())
        yield ""
    for key, value in tables.items():
        if is_table(value):
            yield from toml_lines(value, (*at, key))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    """JSON's text, numbers and booleans are TOML's too; tables in lists are written inline."""
    if is_table(value):
        return f"{{{', '.join(f'{_key(key)} = {_value(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, cast('list[object]', value)))}]"
    return json.dumps(value, ensure_ascii=False)
