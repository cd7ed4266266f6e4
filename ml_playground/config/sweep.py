"""The arms of a sweep: tables of changes that are laid over what its file states."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

from ml_playground.config.checks import Conflict
from ml_playground.config.experiment import ExperimentConfig, with_base
from ml_playground.config.messages import key_label
from ml_playground.config.paths import relative_paths
from ml_playground.config.statements import Statements, anchor, read_statements
from ml_playground.config.validate import first_stated, following, validate
from ml_playground.errors import ConfigError
from ml_playground.utils.paths import display_path, project_root
from ml_playground.utils.registry import use
from ml_playground.utils.tables import KeyPath, Table, has_key, is_table, merge, nested, table_at

BASE = "base"
_NAME = re.compile(r"\w[\w.+=,-]*")
_TAKEN = (BASE, "data", "replaced")  # names of folders in that of the sweep

_REFUSED: dict[KeyPath, str] = {
    ("sweep",): "a sweep within an arm: state it at the top of the file",
    ("plugins",): "is for the whole file: state it at its top",
    ("train", "runtime", "seed"): "every arm has the same seeds: [sweep] seeds",
    ("train", "runtime", "out_dir"): "each run has a folder of its own below the sweep's",
    ("sample", "runtime", "out_dir"): "each run has a folder of its own below the sweep's",
    ("prepare", "dataset_dir"): "an arm that changes [prepare] gets a folder of its own below the sweep's",
    ("train", "data", "dataset_dir"): "follows from what the arm changes in [prepare]",
}
"""What an arm cannot change, and why."""


class Mistake(NamedTuple):
    """A mistake in a TOML file."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{display_path(self.file)}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Arm:
    """What is trained with every seed.

    Attributes:
        name: of its folder; `base` is the file as it is.
        overrides: the changes, as nested tables; paths are absolute.
        point: the value at each key of the grid, where it is of the grid.
        place: the key of the file that states it, the whole sweep for the base.
    """

    name: str
    overrides: Table = field(default_factory=dict[str, Any])
    point: Table = field(default_factory=dict[str, Any])
    place: KeyPath = ("sweep",)

    @property
    def is_base(self) -> bool:
        """Whether it is the file as it is; another of that name is a mistake."""
        return self.place == ("sweep",)


def arms_of(statements: Statements) -> list[Arm]:
    """The base and all arms, whether they are sound or not; those of the grid last."""
    arms, grid = (table_at(statements.values, ("sweep", name)) or {} for name in ("arms", "grid"))
    found = [Arm(BASE)]
    for name, changes in arms.items():
        if is_table(changes):
            place = ("sweep", "arms", name)
            found.append(Arm(name, _anchored(changes, place, statements), place=place))
    return found + list(_points(grid, statements))


def _points(grid: Table, statements: Statements) -> Iterator[Arm]:
    """An arm for each combination of the grid's values, named after these."""
    lists = [cast("list[object]", values) for values in grid.values() if isinstance(values, list)]
    if not grid or len(lists) < len(grid):  # which is reported
        return
    taken: dict[str, int] = {}
    for values in product(*lists):
        point = dict(zip(grid, values, strict=True))
        overrides: Table = {}
        for key, value in point.items():
            overrides = merge(overrides, nested(key.split("."), value))
        name = ",".join(f"{_short(key, grid)}={_slug(value)}" for key, value in point.items())
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:  # values that differ in characters that the name of a folder cannot have
            name = f"{name}-{taken[name]}"
        place = ("sweep", "grid", next(iter(grid)))
        yield Arm(name, _anchored(overrides, place, statements), point, place)


def _anchored(changes: Table, place: KeyPath, statements: Statements) -> Table:
    file, _ = statements.place(place)
    copied = with_base({}, changes)  # in which a text that names a kind has become a table
    anchor(copied, statements.values, project_root(file))
    return copied


def _short(key: str, others: Iterable[str]) -> str:
    """The last parts of a dotted key, as few as tell it from the others."""
    parts = key.split(".")
    endings = (parts[-length:] for length in range(1, len(parts) + 1))
    shared = [each.split(".") for each in others if each != key]
    return ".".join(next((end for end in endings if all(each[-len(end) :] != end for each in shared)), parts))


def _slug(value: object) -> str:
    """A value as a part of a folder's name."""
    if is_table(value):
        return "-".join(_slug(each) if key == "kind" else f"{key}-{_slug(each)}" for key, each in value.items())
    text = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")[:40] or "empty"


def mistakes_in_arms(
    statements: Statements, of_base: Sequence[Conflict], *, check_devices: bool = False
) -> Iterator[Mistake]:
    """What is wrong with the arms, but for the problems that the base has too."""
    known = {(each.keys, each.text) for each in of_base}
    seen: dict[str, str] = {}
    for arm in arms_of(statements):
        for refused, text in _unusable(arm, statements.values):
            label = f"{key_label(refused, table_at(arm.overrides, refused))}: " if refused else ""
            yield Mistake(*statements.place(_place(arm, refused)), f"arm {arm.name}: {label}{text}")
        stated = _stated(arm, statements.values)
        config, problems = validate(statements.defaults, stated, check_devices=check_devices)
        for problem in (each for each in problems if (each.keys, each.text) not in known):
            changed = first_stated(problem, arm.overrides)
            if (key := changed or first_stated(problem, stated)) is not None:
                label = key_label(key, table_at(stated, key))
                yield Mistake(*statements.place(_place(arm, changed)), f"arm {arm.name}: {label}: {problem.text}")
        if config is None and all(first_stated(problem, stated) is None for problem in problems):
            for key, text in ((each.keys[0], each.text) for each in problems if (each.keys, each.text) not in known):
                yield Mistake(*statements.place(arm.place), f"arm {arm.name}: {key_label(key)}: {following(text)}")
        elif all(first_stated(problem, stated) is None for problem in problems):
            same = seen.setdefault(repr(config), arm.name)
            if same != arm.name and not arm.point:
                yield Mistake(*statements.place(arm.place), f"arm {arm.name}: is the same as {same}")


def _unusable(arm: Arm, stated: Table) -> Iterator[tuple[KeyPath, str]]:
    """What an arm cannot be called, or change."""
    if arm.is_base:
        return
    if not _NAME.fullmatch(arm.name) or arm.name in _TAKEN:
        taken = f"{', '.join(_TAKEN)} are taken"
        yield (), f"names a folder, in which only letters, digits and . _ - + = , can be; {taken}"
    for key, why in _REFUSED.items():
        if has_key(arm.overrides, key):
            yield key, why
    match = (table_at(stated, ("sweep",)) or {}).get("match", "steps")
    if match != "steps" and has_key(arm.overrides, ("train", "runtime", "max_iters")):
        yield ("train", "runtime", "max_iters"), f"follows from [sweep] match = {json.dumps(match)}"


def _place(arm: Arm, key: KeyPath | None) -> KeyPath:
    """The key of the file that states an arm's `key`; that of the arm where it states none."""
    if key is None:
        return arm.place
    if not arm.point:
        return (*arm.place, *key)
    axes = {axis: tuple(axis.split(".")) for axis in arm.point}
    meant = (axis for axis, parts in axes.items() if parts[: len(key)] == key[: len(parts)])
    return ("sweep", "grid", next(meant, arm.place[-1]))


def _stated(arm: Arm, values: Table) -> Table:
    """What is stated of an arm's runs, which know nothing of the sweep."""
    base = {name: table for name, table in values.items() if name != "sweep"}
    return with_base(base, arm.overrides)


class Sweep:
    """A sound sweep.

    Attributes:
        base: the configuration of the file.
        folder: where its runs go.
        arms: the base first.
    """

    def __init__(self, path: Path, *, name: str, folder: Path) -> None:
        """Read it. `load_config` has found it to be sound; its parameters are the same."""
        self._statements = read_statements(path, name=name, folder=folder)
        values, defaults = self._statements.values, self._statements.defaults
        base, _ = validate(defaults, values)
        assert base is not None  # it is sound
        self.base = base.read_from(self._statements.file)
        default: Path = defaults["train"]["runtime"]["out_dir"]
        self.folder = base.train.runtime.out_dir if self._statements.file.names_run else default
        self.arms = self._distinct(arms_of(self._statements))

    def _distinct(self, arms: list[Arm]) -> list[Arm]:
        """The arms without points of the grid that are another arm already, which then has their coordinates."""
        found: dict[str, Arm] = {}
        for arm in arms:
            same = found.setdefault(repr(self.config(arm)), arm)
            if same is not arm and not same.point:
                found[repr(self.config(arm))] = Arm(same.name, same.overrides, arm.point, same.place)
        return list(found.values())

    def config(self, arm: Arm, also: Table | None = None) -> ExperimentConfig:
        """The configuration of an arm.

        Args:
            arm: one of `arms`.
            also: what is laid over the arm's changes.

        Raises:
            ConfigError: that contradicts what the arm states.
        """
        use(self.base.plugins)  # another configuration may have been loaded since
        stated = with_base(_stated(arm, self._statements.values), also or {})
        config, problems = validate(self._statements.defaults, stated)
        if config is None or problems:
            file, line = self._statements.place(arm.place)
            keyed = [(first_stated(each, stated), each.text) for each in problems]
            texts = [f"{key_label(key)}: {text}" for key, text in keyed if key is not None]
            if config is None or texts:
                raise ConfigError([str(Mistake(file, line, f"arm {arm.name}: {text}")) for text in texts])
        return config.read_from(self._statements.file)

    def overrides(self, arm: Arm) -> Table:
        """What an arm changes, as JSON types."""
        values: Table = relative_paths(arm.overrides, self.base.file.root)
        return values

    def stretched(self, arm: Arm, steps: int, horizon: float) -> Table:
        """The changes that give an arm's runs another number of steps, and its schedule the same shape over them.

        Args:
            arm: one of `arms`.
            steps: in all, at a horizon of 1.
            horizon: share of them.
        """
        config, stated = self.config(arm), _stated(arm, self._statements.values)
        schedule: Table = {}
        for name in type(config.train.schedule).model_fields:
            key = ("train", "schedule", name)
            if name.endswith("_iters") and has_key(stated, key):
                matched = 1.0 if has_key(arm.overrides, key) else steps / config.train.runtime.max_iters
                schedule[name] = round(getattr(config.train.schedule, name) * matched * horizon)
        runtime = {"max_iters": max(1, round(steps * horizon))}
        return {"train": {"runtime": runtime, **({"schedule": schedule} if schedule else {})}}
