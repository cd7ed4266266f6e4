"""What a TOML file and those that it extends state, before it is checked."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ml_playground.config.experiment import option_fields, tables_in_lists, with_base
from ml_playground.config.fields import ConfigFile, expanded
from ml_playground.config.files import TomlFile, anchor_paths, read_toml_files
from ml_playground.errors import ConfigError, PlaygroundError
from ml_playground.utils import registry
from ml_playground.utils.paths import display_path, name_in_package, output_folder, project_root, real_path
from ml_playground.utils.tables import KeyPath, Table, has_key


@dataclass(frozen=True)
class Statements:
    """A TOML file with all that it extends.

    Attributes:
        file: the file itself.
        values: what is stated; paths are absolute.
        defaults: what depends on the experiment's name and folder.
        lines: the file and the line that state each key.
    """

    file: ConfigFile
    values: Table
    defaults: Table
    lines: dict[KeyPath, tuple[Path, int]]

    def place(self, key: KeyPath) -> tuple[Path, int]:
        """The file and the line that state `key`, or else the table that it would be in, or the file's first line.

        What defines several keys at once is in the outermost one's line.
        """
        holders = (key[:length] for length in range(len(key), 0, -1))  # a key of an inline table has its holder's line
        return next((self.lines[holder] for holder in holders if holder in self.lines), (self.file.path, 1))


def read_statements(path: Path, *, name: str, folder: Path) -> Statements:
    """Read `path` and what it extends.

    Args:
        path: the TOML file.
        name: the experiment's name, default of `[prepare] dataset`.
        folder: the experiment's folder; data and runs go by default to the `output_folder` of it.

    Raises:
        ConfigError: a file is not TOML, not of this experiment, or names a plugin that cannot be imported.
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
        anchor(toml.values, stated, project_root(toml.path))
        stated = {**with_base(stated, toml.values), **_all_plugins(stated, toml.values)}
        lines |= {key: (toml.path, line) for key, line in toml.lines.items()}
    run_name = name if top.path == own else path.stem
    output = output_folder(folder)
    defaults: Table = {
        "prepare": {"dataset": name, "dataset_dir": output / "datasets"},
        "train": {"runtime": {"out_dir": output / "out" / run_name}},
    }
    names_run = has_key(top.values, ("train", "runtime", "out_dir"))
    return Statements(ConfigFile(top.path, project_root(top.path), names_run), stated, defaults, lines)


def anchor(table: Table, stated: Table, root: Path) -> None:
    """Make the paths in `table`, in place, absolute: they count from `root`. It is to be laid over what is `stated`."""
    anchor_paths(table, root, option_fields(with_base(stated, table)))
    for entry, section in tables_in_lists(table):
        anchor_paths(entry, root, option_fields(entry, section))


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
