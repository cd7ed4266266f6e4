"""pydantic's findings in the words of someone who edits a TOML file."""

import difflib
import json
from typing import Any, get_args, get_origin

from pydantic_core import ErrorDetails

from ml_playground.config import synonyms
from ml_playground.config.experiment import all_option_fields, kind_at, part_at, section_at
from ml_playground.config.fields import Section, expanded
from ml_playground.config.parts import Part, list_of_parts
from ml_playground.utils.tables import KeyPath, Table, is_table, table_at

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "dict_type": "a table",
    "list_type": "a list",
    "path_type": "a path in quotes",
    "is_instance_of": "a path in quotes",
    "part_type": "a table, or the name of a kind",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

_LONGEST = 200  # characters of a value in a message


def key_label(key: KeyPath, value: object = None) -> str:
    """`("train", "data", "batch_size")` as `[train.data] batch_size`; a section or a table as `[train]`."""
    *tables, name = key
    if is_table(value) or section_at(key) is not None:
        return f"[{'.'.join(key)}]"
    return f"[{'.'.join(tables)}] {name}" if tables else name


def describe_error(error: ErrorDetails, stated: Table) -> tuple[KeyPath, str]:
    """The key that a finding of pydantic about what is `stated` is about, and what is wrong with it."""
    place = next((place for place, part in enumerate(error["loc"]) if isinstance(part, int)), len(error["loc"]))
    key, inner = (tuple(map(str, parts)) for parts in (error["loc"][:place], error["loc"][place + 1 :]))
    if inner:
        return key, _describe_entry(error, key, inner[-1], stated)
    if error["type"] == "extra_forbidden":
        return key, _unknown(key, "section" if is_table(error["input"]) else "key", stated)
    return key, _describe(error, section_at(key[:-1], stated), key[-1])


def _describe_entry(error: ErrorDetails, key: KeyPath, option: str, stated: Table) -> str:
    """What is wrong with an option of a part in the list at `key`, which has no key of its own."""
    *tables, name = key
    holder, section = table_at(stated, tables), section_at(tuple(tables), stated)
    mark = None if section is None else list_of_parts(section.model_fields[name])
    assert holder is not None
    assert mark is not None  # only lists of parts have something in their entries
    entry: object = holder[name][next(part for part in error["loc"] if isinstance(part, int))]
    if error["type"] == "extra_forbidden":
        hint = _did_you_mean(option, list(mark.options(entry).model_fields))
        return f"{_toml(mark.kind(entry))} has no option {option}{hint}"
    text = _describe(error, mark.options(entry), option)
    return text if option == "kind" else f"{option} of {_toml(mark.kind(entry))} {text}"


def _describe(error: ErrorDetails, section: type[Section] | None, name: str) -> str:
    """What is wrong with the option `name` of a section."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in ("path_type", "is_instance_of") and isinstance(value, str) and value:
        return _why_no_path(value)
    if kind == "list_type" and isinstance(value, str):
        return f"must be a list, such as {_toml([value])}, not {_toml(value)}"
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}, not {_toml(value)}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        limit = context[bound]
        return f"must be {words} {limit if isinstance(limit, int) else f'{limit:g}'}, not {_toml(value)}"
    if kind in ("literal_error", "unknown_kind"):
        choices = context.get("choices") or _choices(section, name)
        listed = ", ".join(_toml(choice) for choice in choices)
        hint = f"{_meant_choice(str(value), choices)}{context.get('missing', '')}"
        return f"must be one of {listed}; not {_toml(value)}{hint}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind == "value_error":
        return str(context["error"])
    return str(error["msg"])


def _choices(section: type[Section] | None, name: str) -> list[str]:
    """What an option may be."""
    annotation = None if section is None else section.model_fields[name].annotation
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    return [str(choice) for choice in get_args(annotation)]


def _unknown(key: KeyPath, sort: str, stated: Table) -> str:
    *tables, name = key
    section, elsewhere = section_at(key[:-1], stated), synonyms.OPTIONS.get(name.lower())
    if elsewhere is not None and sort == "key":
        return f"unknown {sort} (here it is {elsewhere})"
    tables_too = sort == "section" or len(key) > 1
    known = [each for each in (section.model_fields if section else ()) if tables_too or section_at((each,)) is None]
    hint = _did_you_mean(name, known)
    others = list(all_option_fields())
    kinds = [kind for path, kinds, _ in others if path == key for kind in kinds]
    homes = dict.fromkeys(path[:-1] for path, _, _ in others if path[-1] == name and path != key)
    sections = dict.fromkeys(path[:-1] for path, _, _ in others if len(path) > 1 and path[-2] == name)
    parts = [path for path in sections if path != key and part_at(path) is not None]
    if kinds:
        *first, last = map(_toml, kinds)
        hint = f" (it is an option of {' and '.join([', '.join(first), last] if first else [last])})"
    elif not hint and sort == "section" and sections:
        hint = f" (did you mean {' or '.join(map(key_label, sections))}?)"
    elif not hint and (homes or parts):
        in_tables = " or ".join(key_label(home) for home in homes if home)
        places = [*map(_of_part, parts), *([f"in {in_tables}"] if in_tables else [])]
        return f"unknown {sort} (it belongs {' or '.join(places) or 'at the top of the file'})"
    if section is not None and issubclass(section, Part):
        return f"{_toml(kind_at(tuple(tables), stated))} has no option {name}{hint}"
    return f"unknown {sort}{hint}"


def _of_part(path: KeyPath) -> str:
    """Where a part is named, by a text or in a table of its own."""
    *tables, name = path
    return f"in [{'.'.join(tables)}] {name}, or [{'.'.join(path)}] kind"


def _did_you_mean(word: str, choices: list[str]) -> str:
    close = difflib.get_close_matches(word, choices, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _meant_choice(word: str, choices: list[str]) -> str:
    meant = [choice for choice in synonyms.CHOICES.get(word.lower(), ()) if choice in choices]
    return f" (did you mean {meant[0]}?)" if meant else _did_you_mean(word, choices)


def _why_no_path(value: str) -> str:
    try:
        expanded(value)
    except ValueError as error:
        return str(error)
    return f"must be a path in quotes, not {_toml(value)}"


def _toml(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
