"""From a TOML file to an `ExperimentConfig`, or to all of the file's mistakes at once."""

import json
import os
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from ml_playground.config.checks import Conflict, device_conflicts, find_conflicts
from ml_playground.config.experiment import (
    ExperimentConfig,
    default_sources,
    option_fields,
    tables_in_lists,
    with_base,
)
from ml_playground.config.fields import ConfigFile, expanded
from ml_playground.config.files import TomlFile, anchor_paths, read_toml_files
from ml_playground.config.messages import describe_error, key_label
from ml_playground.errors import ConfigError, PlaygroundError
from ml_playground.utils import registry
from ml_playground.utils.paths import display_path, name_in_package, output_folder, project_root, real_path
from ml_playground.utils.tables import KeyPath, Table, has_key, merge, table_at


def load_config(path: Path, *, name: str, folder: Path, check_devices: bool = False) -> ExperimentConfig:
    """Read `path` and what it extends, fill in defaults and check the result. Its `plugins` are in use from then on.

    Args:
        path: the TOML file.
        name: the experiment's name, default of `[prepare] dataset`.
        folder: the experiment's folder; data and runs go by default to the `output_folder` of it.
        check_devices: also report a device that this machine lacks.

    Raises:
        ConfigError: with every mistake of the file.
    """
    stated: Table = {}
    lines: dict[KeyPath, tuple[Path, int]] = {}
    folder, own = real_path(folder), real_path(folder / "config.toml")
    toml_files = read_toml_files(path)
    *_, top = toml_files
    _refuse_other_experiments(toml_files, folder)
    if top.path != own:
        _refuse_missing_extends(toml_files, own)
    registry.use([])  # not those of a configuration that was loaded before
    for toml in toml_files:
        _import_plugins(toml)
        root = project_root(toml.path)
        anchor_paths(toml.values, root, option_fields(with_base(stated, toml.values)))
        for table, section in tables_in_lists(toml.values):
            anchor_paths(table, root, option_fields(table, section))
        stated = {**with_base(stated, toml.values), **_all_plugins(stated, toml.values)}
        lines |= {key: (toml.path, line) for key, line in toml.lines.items()}
    run_name = name if top.path == own else path.stem
    output = output_folder(folder)
    base: Table = {
        "prepare": {"dataset": name, "dataset_dir": output / "datasets"},
        "train": {"runtime": {"out_dir": output / "out" / run_name}},
    }
    config, problems = _validate(base, stated, check_devices=check_devices)
    located: list[tuple[Path, int, str]] = []
    for problem in problems:
        key = next((key for key in problem.keys if has_key(stated, key)), None)
        # Nothing is stated of it: its default follows another key's bad value, whose own problem is enough, or an
        # option that would contradict others is not there.
        if key is None:
            continue
        # What defines several keys at once, such as an inline table, is stated in the line of the outermost of them.
        holders = (key[:length] for length in range(len(key), 0, -1))  # a key of an inline table has its holder's line
        file, line = next(lines[holder] for holder in holders if holder in lines)
        located.append((file, line, f"{key_label(key, table_at(stated, key))}: {problem.text}"))
    if config is not None and not located:
        names_run = has_key(top.values, ("train", "runtime", "out_dir"))
        return config.read_from(ConfigFile(top.path, project_root(top.path), names_run))
    raise ConfigError([f"{display_path(file)}:{line}: {text}" for file, line, text in sorted(located)])


def _refuse_other_experiments(toml_files: list[TomlFile], folder: Path) -> None:
    """Refuse a preset of another experiment, whose text would else be prepared over that of the one in `folder`."""
    *_, preset = (toml.path for toml in toml_files)
    if preset.is_relative_to(folder):  # an experiment of its own that takes over another's settings
        return
    homes = [toml.path.parent for toml in toml_files if (toml.path.parent / "prepare.py").is_file()]
    if homes and folder not in homes:
        raise ConfigError(
            [f"{display_path(preset)}: extends the experiment {homes[0].name}, but the command names {folder.name}"]
        )


def _refuse_missing_extends(toml_files: list[TomlFile], own: Path) -> None:
    """Refuse a preset that leaves the experiment's own configuration out without saying so.

    All that it does not state would be at its default, the data too, which would be prepared again as that says.
    """
    basis, *_ = toml_files
    extended = [toml.path for toml in toml_files[:-1]]
    another = any(path.name == "config.toml" and path.with_name("prepare.py").is_file() for path in extended)
    if basis.stands_alone or own in extended or another:
        return
    root = project_root(basis.path)
    near = own.relative_to(root).as_posix() if own.is_relative_to(root) else os.path.relpath(own, basis.path.parent)
    line = name_in_package(own) or near
    problem = (
        "does not extend the experiment's config.toml, so everything it leaves out would take its default. "
        f"Add this line at its top: extends = {json.dumps(line, ensure_ascii=False)} "
        "(or, if the file is complete in itself: extends = false)"
    )
    raise ConfigError([f"{display_path(basis.path)}:1: {problem}"])


def _import_plugins(toml: TomlFile) -> None:
    """Run the files that register parts, whose options the rest of the file may state.

    Raises:
        ConfigError: one is not there, or registers what it cannot.
    """
    files: object = toml.values.get("plugins", [])
    if not isinstance(files, list):
        return
    for name in cast("list[object]", files):
        try:
            path = project_root(toml.path) / expanded(name) if isinstance(name, str) else None
        except ValueError:  # which is reported with all else
            continue
        try:
            if path is not None:
                registry.run_file(path)
        except PlaygroundError as error:
            at = f"{display_path(toml.path)}:{toml.lines[('plugins',)]}"
            raise ConfigError([f"{at}: plugins: {error}"]) from None


def _all_plugins(base: Table, over: Table) -> Table:
    """`plugins` of a file and of those that it extends: all of them are imported."""
    old, new = base.get("plugins"), over.get("plugins")
    if not isinstance(old, list) or not isinstance(new, list):
        return {}
    return {"plugins": [*cast("list[object]", old), *(each for each in cast("list[object]", new) if each not in old)]}


def _validate(base: Table, stated: Table, *, check_devices: bool) -> tuple[ExperimentConfig | None, list[Conflict]]:
    """The configuration and all its problems; no configuration where it cannot even be checked across keys."""
    problems: list[Conflict] = []
    try:
        config = ExperimentConfig.model_validate(_complete(merge(base, stated)))
    except ValidationError as error:
        for key, text in (describe_error(each, stated) for each in error.errors()):
            problems.append(Conflict((key,), text))
        # Without its bad keys the rest can still be checked for contradictions, so that one run tells all.
        bad = [problem.keys[0] for problem in problems]
        try:
            config = ExperimentConfig.model_validate(_complete(merge(base, _without(stated, bad))))
        except ValidationError:
            return None, problems
    known_bad = {problem.keys[0] for problem in problems}
    found = [*find_conflicts(config), *(device_conflicts(config) if check_devices else ())]
    return config, problems + [each for each in found if not known_bad & set(each.keys)]


def _without(stated: Table, keys: list[KeyPath]) -> Table:
    """`stated` less some keys. Where one's table is itself no table, that goes."""
    sound = merge({}, stated)
    for key in keys:
        for length in range(1, len(key) + 1):
            table = table_at(sound, key[: length - 1])
            if table is not None and (length == len(key) or not isinstance(table.get(key[length - 1]), dict)):
                table.pop(key[length - 1], None)
    return sound


def _complete(values: Table) -> Table:
    """`values` with all sections, and with the defaults that are another key's value."""
    completed = merge({}, values)
    options = list(option_fields(completed))
    defaults = {key: field.default for key, field in options if not field.is_required()}
    for key, field in options:
        *tables, name = key
        for depth in range(len(tables)):
            holder = table_at(completed, tables[:depth])
            if holder is not None:
                holder.setdefault(tables[depth], {})
        table = table_at(completed, tables)
        sources = default_sources(field)
        if table is not None and name not in table and sources:
            values_there = ((table_at(completed, key[:-1]) or {}).get(key[-1], defaults.get(key)) for key in sources)
            table[name] = next((value for value in values_there if value is not None), None)
    return completed
