"""Sections that name one of several kinds of part, each with options of its own."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from ml_playground.config.fields import Section
from ml_playground.utils.modules import code_hash
from ml_playground.utils.registry import Registry, why_missing
from ml_playground.utils.tables import is_table

_SHOWN = 12  # digits of the hash of a part's code


class Part(Section):
    """The options of one kind of part, which knows how to build it.

    A plain text in a TOML file is shorthand for a table with that `kind` alone.
    """

    kind: str = ""


class PartOf:
    """Marks a field as a part from a registry: `Annotated[OptimConfig, PartOf(OPTIMIZERS, "adamw")]`.

    Attributes:
        registry: the kinds that there are.
        default: the one that is taken where none is stated.
    """

    def __init__(self, registry: Registry, default: str) -> None:
        self.registry = registry
        self.default = default

    def options(self, stated: object) -> type[Any]:
        """The class of a table's or a text's kind; the base class, which has what all kinds have, if it is unknown."""
        kind = self.kind(stated)
        return self.registry.load(kind) if kind in self.registry else self.registry.base

    def kind(self, stated: object) -> str:
        """The kind that a table or a text names."""
        named = stated.get("kind", self.default) if is_table(stated) else stated
        return named if isinstance(named, str) else self.default

    def validate(self, stated: object) -> Part:
        """The options of the kind that a table or a text names.

        Raises:
            ValidationError: they are not sound.
        """
        if isinstance(stated, Part):
            return stated
        if isinstance(stated, str):
            stated = {"kind": stated}
        if not is_table(stated):
            raise PydanticCustomError("part_type", "must be a table or the name of a kind")
        table = {"kind": self.default, **stated}
        if table["kind"] not in self.registry:
            context = {"choices": list(self.registry), "missing": why_missing(table["kind"])}
            error = PydanticCustomError("unknown_kind", "", context)
            raise ValidationError.from_exception_data(
                self.registry.sort, [InitErrorDetails(type=error, loc=("kind",), input=table["kind"])]
            )
        part: Part = self.options(table).model_validate(table)
        return part

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """How pydantic validates and writes a field that is marked so."""
        _ = source, handler
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(_plain)
        )


def part(description: str) -> Any:
    """A field that is marked by a `PartOf`; where nothing is stated, it is of that one's default kind."""
    return Field({}, validate_default=True, description=description)


def part_of(field: FieldInfo) -> PartOf | None:
    """What a field is marked by, None where it is not a part."""
    return next((each for each in field.metadata if isinstance(each, PartOf)), None)


def list_of_parts(field: FieldInfo) -> PartOf | None:
    """What the entries of a field that is a list are marked by, None where it is not a list of parts."""
    entries = get_args(field.annotation) if get_origin(field.annotation) is list else ()
    marks = (each for entry in entries for each in getattr(entry, "__metadata__", ()))
    return next((each for each in marks if isinstance(each, PartOf)), None)


def classes_in(mark: PartOf, stated: object) -> Iterator[tuple[str, type[Any]]]:
    """The class of a resolved part and of each part within it, by sort and kind, such as "optimizers.lion"."""
    options = mark.options(stated)
    yield f"{mark.registry.sort}.{mark.kind(stated)}", options
    for name, field in options.model_fields.items():
        if (inner := part_of(field)) is not None and is_table(stated) and name in stated:
            yield from classes_in(inner, stated[name])


def code_of(part: type[Any]) -> str | None:
    """A hash of the file that a part's class is from, which may change without its options; None if it is built-in."""
    if part.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return None
    code = code_hash(Path(inspect.getfile(part)))
    return None if code is None else code[:_SHOWN]


def _plain(value: Part) -> Mapping[str, Any] | str:
    """As a TOML file would state it."""
    values = value.model_dump()
    return value.kind if len(values) == 1 else values
