"""The whole configuration. Only the modules at the top see it; everything below receives single sections."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr
from pydantic.fields import FieldInfo

from ml_playground.config.fields import ConfigFile, ModelSource, Section
from ml_playground.config.sections import (
    DataConfig,
    ExportGgufConfig,
    ExportHfConfig,
    ExportOllamaConfig,
    HfModelConfig,
    ModelConfig,
    OptimConfig,
    PeftConfig,
    PrepareConfig,
    SampleRuntimeConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainRuntimeConfig,
)
from ml_playground.config.tables import KeyPath, Table, is_table


class TrainConfig(Section):
    """The [train.*] tables."""

    model: ModelConfig
    hf_model: HfModelConfig
    peft: PeftConfig
    data: DataConfig
    optim: OptimConfig
    schedule: ScheduleConfig
    runtime: TrainRuntimeConfig

    @property
    def source(self) -> ModelSource:
        """What the user brings for the model."""
        return ModelSource(self.model.file, self.hf_model.model_name, self.hf_model.revision, self.peft.enabled)


class SampleConfig(Section):
    """The [sample.*] tables."""

    runtime: SampleRuntimeConfig
    sample: SamplingConfig


class ExportConfig(Section):
    """The [export.*] tables."""

    hf: ExportHfConfig
    gguf: ExportGgufConfig
    ollama: ExportOllamaConfig


class ExperimentConfig(Section):
    """One TOML file with everything it extends and all defaults filled in."""

    prepare: PrepareConfig
    train: TrainConfig
    sample: SampleConfig
    export: ExportConfig
    _file: ConfigFile | None = PrivateAttr(default=None)

    @property
    def file(self) -> ConfigFile | None:
        """What it was read from, None where it was not."""
        return self._file

    def read_from(self, file: ConfigFile) -> Self:
        """The same, which remembers its file."""
        self._file = file
        return self

    def resolved(self, root: Path) -> Table:
        """All values as JSON types; paths below `root` are given relative to it, so that no home folder leaks.

        The options of a user's own model are kept as they are stated: what they mean is known to that model only.
        """

        def plain(value: Any) -> Any:
            if is_table(value):
                return {key: inner if key == "options" else plain(inner) for key, inner in value.items()}
            if isinstance(value, Path):
                return value.relative_to(root).as_posix() if value.is_relative_to(root) else str(value)
            if isinstance(value, str) and value.startswith(f"{root}{os.sep}"):  # such as init_from
                return plain(Path(value))
            if isinstance(value, str) and value.startswith("FILE:"):
                return f"FILE:{plain(Path(value.removeprefix('FILE:')))}"
            return value

        return {key: plain(value) for key, value in self.model_dump().items()}


def option_fields(section: type[Section] = ExperimentConfig, at: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every option with its path, such as `("train", "data", "batch_size")`, in the order of the sections."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from option_fields(inner, (*at, name))
        else:
            yield (*at, name), field


def default_sources(field: FieldInfo) -> list[KeyPath]:
    """The keys the first of whose values an option takes where it is not stated; most have a default of their own."""
    extra = field.json_schema_extra
    keys = str(extra.get("same_as", "")) if is_table(extra) else ""
    return [tuple(key.split(".")) for key in keys.split()]


def section_at(path: KeyPath) -> type[Section] | None:
    """The section class that a table such as `("train", "data")` is read into, None where there is none."""
    section: type[Section] = ExperimentConfig
    for name in path:
        field = section.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return None
        section = field.annotation
    return section
