"""Writes `docs/configuration.md` from the sections; the page's head says how."""

import json
from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from ml_playground.config.experiment import default_sources, option_fields, section_at
from ml_playground.config.kinds import KINDS
from ml_playground.utils.tables import KeyPath, is_table

_INTRODUCTION = """\
# Configuration

Every option of a TOML file. Any of them may be left out; unknown ones are refused. `extends = "other.toml"` at the top
of a file takes over all of another file (looked for beside this one, then from the project root), key by key; it may
itself extend a third. A preset (`--exp-config`) must extend the experiment's `config.toml`, or say `extends = false` if
it is complete in itself. Relative paths count from the project root: the nearest folder above the file with a
`pyproject.toml`, else the file's own folder. `~`, `~user`, `$NAME` and `${NAME}` in paths are replaced by what they
stand for.

This page is made from `ml_playground/config/sections.py` by
`.venv/bin/python -m ml_playground.config.reference > docs/configuration.md`.
"""
_TYPES = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "Path": "path"}


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_INTRODUCTION, *_lines()])


def _lines() -> Iterator[str]:
    table: KeyPath = ()
    for key, field in option_fields():
        if key[:-1] != table:
            table = key[:-1]
            yield f"\n## [{'.'.join(table)}]\n\n{section_at(table).__doc__}\n"
            yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
        yield f"| `{key[-1]}` | {_type(field)} | {_default(key[-1], field)} | {field.description} |"


def _type(field: FieldInfo) -> str:
    choices = [each for each in get_args(field.annotation) if each is not type(None)]
    if get_origin(field.annotation) is dict:
        return "table"
    if choices and get_origin(choices[0]) is list:  # `list[str] | None`
        return "list of texts"
    if choices and isinstance(choices[0], type):  # `X | None`
        return _TYPES[choices[0].__name__]
    return ", ".join(f"`{choice}`" for choice in choices) or _TYPES[getattr(field.annotation, "__name__", "")]


def _default(name: str, field: FieldInfo) -> str:
    if sources := default_sources(field):
        return "that of " + ", else ".join(f"`[{'.'.join(source[:-1])}] {source[-1]}`" for source in sources)
    if field.default is None:
        return "none"
    if not field.is_required():
        return f"`{json.dumps(field.default)}`" if field.default != {} else "empty"
    extra = field.json_schema_extra
    if not is_table(extra):
        return ""
    if "of_kind" in extra:
        return ", ".join(f"{kind} `{json.dumps(options[name])}`" for kind, options in KINDS.items())
    return str(extra.get("from_experiment") or extra.get("derived"))


if __name__ == "__main__":
    print(reference())
