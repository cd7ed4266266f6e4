"""Writes `docs/configuration.md` from the sections; the page's head says how."""

import json
from collections.abc import Iterator
from typing import Annotated, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ml_playground.config.experiment import all_option_fields, default_sources, part_at, section_at
from ml_playground.config.fields import Section
from ml_playground.config.kinds import KINDS
from ml_playground.config.parts import list_of_parts
from ml_playground.utils.tables import KeyPath, is_table

_INTRODUCTION = """\
# Configuration

Every option of a TOML file. Any of them may be left out; unknown ones are refused. `extends = "other.toml"` at the top
of a file takes over all of another file (looked for beside this one, then from the project root), key by key; it may
itself extend a third. A preset (`--exp-config`) must extend the experiment's `config.toml`, or say `extends = false` if
it is complete in itself. Relative paths count from the project root: the nearest folder above the file with a
`pyproject.toml`, else the file's own folder. `~`, `~user`, `$NAME` and `${NAME}` in paths are replaced by what they
stand for.

Some sections are parts of which there are several kinds, each with options of its own. `train.optim = "muon"` is short
for `train.optim.kind = "muon"`. A file that changes the kind takes over only those options of the file that it extends
which the new kind has too.

This page is made from `ml_playground/config/sections/` by
`.venv/bin/python -m ml_playground.config.reference > docs/configuration.md`.
"""
_TYPES = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "Path": "path"}


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_INTRODUCTION, *_lines()])


def _lines() -> Iterator[str]:
    heading = ""
    for key, kinds, field in all_option_fields():
        name = key[-1]
        title = f"[{'.'.join(key[:-1])}]" + (f" kind = {', '.join(map(json.dumps, kinds))}" if kinds else "")
        if title != heading:
            heading = title
            yield f"\n## {title if len(key) > 1 else 'At the top of a file'}\n"
            yield from _about(key[:-1], kinds)
            yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
        yield f"| `{name}` | {_type(key, field)} | {_default(key, field)} | {field.description} |"


def _about(path: KeyPath, kinds: tuple[str, ...]) -> Iterator[str]:
    """What a section is, and what kinds there are of a part."""
    if not path:
        return
    part = part_at(path)
    if part is None or kinds:
        about = section_at(path) if part is None else part.registry.load(kinds[0])
        yield f"{(about or Section).__doc__}\n"
        return
    yield f"{part.registry.base.__doc__}\n"
    for names, options in part.registry.classes().items():
        yield f"- {', '.join(f'`{name}`' for name in names)}: {options.__doc__}"
    yield ""


def _type(key: KeyPath, field: FieldInfo) -> str:
    *section, name = key
    if name == "kind" and (part := part_at(tuple(section))) is not None:
        return ", ".join(f"`{kind}`" for kind in part.registry.built_in)
    choices = [each for each in get_args(field.annotation) if each is not type(None)]
    if get_origin(field.annotation) is dict:
        return "table"
    if (entries := list_of_parts(field)) is not None:
        return "list of " + ", ".join(f"`{kind}`" for kind in entries.registry.built_in)
    if get_origin(field.annotation) is list:
        entry = get_args(choices[0])[0] if get_origin(choices[0]) is Annotated else choices[0]
        if get_origin(entry) is Literal:
            return "list of " + ", ".join(f"`{choice}`" for choice in get_args(entry))
        return f"list of {_TYPES[entry.__name__]}s"
    if bool in choices and len(choices) > 1:
        return "true, false or list of texts"
    if choices and get_origin(choices[0]) is list:  # `list[str] | None`
        return "list of texts"
    if choices and isinstance(choices[0], type):  # `X | None`
        return _TYPES[choices[0].__name__]
    return ", ".join(f"`{choice}`" for choice in choices) or _TYPES[getattr(field.annotation, "__name__", "")]


def _default(key: KeyPath, field: FieldInfo) -> str:
    *_, holder, name = "", *key
    if name == "kind" and holder in KINDS["gpt2"]:  # a part of the model
        return ", ".join(f"{family} `{json.dumps(options[holder])}`" for family, options in KINDS.items())
    if sources := default_sources(field):
        return "same as " + ", else ".join(f"`[{'.'.join(source[:-1])}] {source[-1]}`" for source in sources)
    if field.default is None:
        return "none"
    if not field.is_required():
        return f"`{json.dumps(field.default)}`" if field.default not in ({}, []) else "empty"
    extra = field.json_schema_extra
    if not is_table(extra):
        return ""
    if "family_default" in extra:
        return ", ".join(f"{kind} `{json.dumps(options[key[-1]])}`" for kind, options in KINDS.items())
    return str(extra.get("experiment_default") or extra.get("derived"))


if __name__ == "__main__":
    print(reference())
