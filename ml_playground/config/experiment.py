"""The whole configuration. Only the modules at the top see it; everything below receives single sections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self, cast

from pydantic import Field, PrivateAttr
from pydantic.fields import FieldInfo

from ml_playground.config.fields import ConfigFile, Section
from ml_playground.config.parts import PartOf, list_of_parts, part_of
from ml_playground.config.paths import relative_paths
from ml_playground.config.registries import MODELS, OPTIMIZERS, SCHEDULES
from ml_playground.config.sections import (
    CompareConfig,
    DataConfig,
    EvaluateConfig,
    ExploreConfig,
    ExportGgufConfig,
    ExportHfConfig,
    ExportOllamaConfig,
    HfModelConfig,
    LitConfig,
    ModelOptions,
    OptimConfig,
    PeftConfig,
    PlotConfig,
    PrepareConfig,
    ReportConfig,
    SampleRuntimeConfig,
    SamplingConfig,
    ScheduleConfig,
    SweepConfig,
    TrainRuntimeConfig,
)
from ml_playground.utils.tables import KeyPath, Table, is_table, merge, table_at


class TrainConfig(Section):
    """The [train.*] tables."""

    model: Annotated[ModelOptions, PartOf(MODELS, "gpt2")]
    hf_model: HfModelConfig
    peft: PeftConfig
    data: DataConfig
    optim: Annotated[OptimConfig, PartOf(OPTIMIZERS, "adamw")]
    schedule: Annotated[ScheduleConfig, PartOf(SCHEDULES, "cosine")]
    runtime: TrainRuntimeConfig


class SampleConfig(Section):
    """The [sample.*] tables."""

    runtime: SampleRuntimeConfig
    sample: SamplingConfig


class ExportConfig(Section):
    """The [export.*] tables."""

    hf: ExportHfConfig
    gguf: ExportGgufConfig
    ollama: ExportOllamaConfig


NOT_RECORDED = {"explore", "sweep", "compare", "plot", "lit"}
"""The sections on which no run depends."""


class ExperimentConfig(Section):
    """One TOML file with everything it extends and all defaults filled in."""

    plugins: list[Path] = Field(
        [],
        description="Python files that register parts of your own, such as an optimiser or a source; those of the file "
        "that is extended stay",
    )
    prepare: PrepareConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    sample: SampleConfig
    report: ReportConfig
    explore: ExploreConfig
    export: ExportConfig
    sweep: SweepConfig
    compare: CompareConfig
    plot: PlotConfig
    lit: LitConfig
    _file: ConfigFile = PrivateAttr()

    @property
    def file(self) -> ConfigFile:
        """What it was read from."""
        return self._file

    def read_from(self, file: ConfigFile) -> Self:
        """The same, which remembers its file."""
        self._file = file
        return self

    def resolved(self) -> Table:
        """What a run depends on, as JSON types: without the sections of `NOT_RECORDED`.

        Paths below the project are relative to it.
        """
        values: Table = relative_paths(self.model_dump(exclude=NOT_RECORDED), self.file.root)
        return values


def option_fields(
    stated: Table | None = None, section: type[Section] = ExperimentConfig, at: KeyPath = ()
) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every option with its path, such as `("train", "data", "batch_size")`, in the order of the sections.

    Of parts they are the options of the kinds that are `stated`.
    """
    stated = section.completed(stated or {})
    for name, field in section.model_fields.items():
        value = stated.get(name)
        inner = _section_of(field, value)
        if inner is None:
            yield (*at, name), field
        else:
            yield from option_fields(value if is_table(value) else {}, inner, (*at, name))


def all_option_fields(
    section: type[Section] = ExperimentConfig, at: KeyPath = (), kinds: tuple[str, ...] = ()
) -> Iterator[tuple[KeyPath, tuple[str, ...], FieldInfo]]:
    """The built-in options of all kinds: each with its path and, if only some kinds of a part have it, these kinds."""
    fields = section.model_fields.items()
    for name, field in sorted(fields, key=lambda item: _section_of(item[1], None) is not None):  # a table's keys first
        inner, path = _section_of(field, None), (*at, name)
        if (mark := part_of(field)) is not None:
            base = mark.registry.base
            yield from all_option_fields(base, path)
            for names, options in mark.registry.classes().items():
                for each, which, own in all_option_fields(options, path, names):
                    if each[len(path)] not in base.model_fields:
                        yield each, which, own
        elif inner is not None:
            yield from all_option_fields(inner, path)
        else:
            yield path, kinds, field


def tables_in_lists(stated: Table) -> Iterator[tuple[Table, type[Section]]]:
    """The tables among the entries of lists of parts, each with the section that it is read into."""
    for (*tables, name), field in option_fields(stated):
        mark, entries = list_of_parts(field), (table_at(stated, tables) or {}).get(name)
        if mark is not None and isinstance(entries, list):
            yield from ((entry, mark.options(entry)) for entry in cast("list[object]", entries) if is_table(entry))


def default_sources(field: FieldInfo) -> list[KeyPath]:
    """The keys the first of whose values an option takes where it is not stated; most have a default of their own."""
    extra = field.json_schema_extra
    keys = str(extra.get("default_from", "")) if is_table(extra) else ""
    return [tuple(key.split(".")) for key in keys.split()]


def section_at(path: KeyPath, stated: Table | None = None) -> type[Section] | None:
    """The section class that a table such as `("train", "data")` is read into, None where there is none."""
    section: type[Section] = ExperimentConfig
    table = stated or {}
    for name in path:
        table = section.completed(table)
        field, value = section.model_fields.get(name), table.get(name)
        inner = None if field is None else _section_of(field, value)
        if inner is None:
            return None
        section, table = inner, value if is_table(value) else {}
    return section


def part_at(path: KeyPath, stated: Table | None = None) -> PartOf | None:
    """What the field at `path` is marked by, None where it is not a part."""
    *tables, name = path
    section = section_at(tuple(tables), stated)
    field = None if section is None else section.model_fields.get(name)
    return None if field is None else part_of(field)


def kind_at(path: KeyPath, stated: Table) -> str:
    """The kind of the part at `path`."""
    *tables, name = path
    section, part = section_at(tuple(tables), stated), part_at(path, stated)
    assert section is not None
    assert part is not None  # it is the path of a part
    return part.kind(section.completed(table_at(stated, tables) or {}).get(name, {}))


def with_base(base: Table, over: Table, section: type[Section] = ExperimentConfig) -> Table:
    """What `over` states and, key by key, what it leaves to `base`. Neither is changed.

    Where `over` changes the kind of a part, the options that the other kind does not have are left out of `base`.
    """
    joined = merge(base, over)
    for name, field in section.model_fields.items():
        old, new = base.get(name), over.get(name)
        inner = _section_of(field, new)
        if (mark := part_of(field)) is not None and new is not None:
            old, new = _as_table(old), _as_table(new)
            joined[name] = new
            if is_table(old) and is_table(new):
                inner = mark.options({**old, **new})
                if mark.kind({**old, **new}) != mark.kind(old):
                    old = _of_other_kind(old, mark.options(old), inner.completed({**old, **new}), inner)
        if inner is not None and is_table(new):
            joined[name] = with_base(old if is_table(old) else {}, new, inner)
    return joined


def _of_other_kind(old: Table, had: type[Section], completed: Table, has: type[Section]) -> Table:
    """What stays of a part's options where its kind changes: those of the new kind, and mistakes, to be reported.

    Of a part within it that states no kind itself, the kind may change with it.

    Args:
        old: what was stated.
        had: the section of the kind before.
        completed: what is stated now, with what follows from it.
        has: the section of the kind that it is now.
    """
    kept = {name: value for name, value in old.items() if name in has.model_fields or name not in had.model_fields}
    for name, field in has.model_fields.items():
        mark, value, before = part_of(field), kept.get(name), had.model_fields.get(name)
        if mark is not None and before is not None and is_table(value) and "kind" not in value:
            was, now = _section_of(before, had.completed(old)[name]) or Section, mark.options(completed[name])
            kept[name] = _of_other_kind(value, was, now.completed(value), now)
    return kept


def _section_of(field: FieldInfo, value: object) -> type[Section] | None:
    """The section that the `value` of a field is read into, None where it is an option."""
    if (mark := part_of(field)) is not None:
        return mark.options(value if value is not None else {})
    inner = field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def _as_table(value: object) -> object:
    """A part as a table where a text names its kind."""
    return {"kind": value} if isinstance(value, str) else value
