"""Names of parts, and where the class of each is: filled by this project, by installed packages and by users' files.

A part is imported when it is used, so that a name costs nothing and help shows at once. A package adds one by an entry
point in the group `ml_playground.plugins`, such as `optimizers.lion = "my_package.lion:Lion"`; a file that a TOML names
in `plugins` adds one by `@OPTIMIZERS.register("lion")`. The parts of such files are found while a configuration that
names them is in use: that which was loaded last, or whose files `use` was last called with.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from ml_playground.errors import PlaygroundError
from ml_playground.utils.modules import import_file
from ml_playground.utils.paths import display_path, real_path

ENTRY_POINTS = "ml_playground.plugins"
EXPERIMENTS = "experiments"
"""What the names of entry points of experiments begin with, which have no registry of classes."""

C = TypeVar("C", bound=type)


class Registry:
    """Classes of one sort, by name.

    Attributes:
        sort: what they are, in the plural, such as "optimizers": the first part of the names of entry points.
    """

    def __init__(self, sort: str, base: str, parts: Mapping[str, str]) -> None:
        """Take the project's own.

        Args:
            sort: see above.
            base: where the class is that all of them derive from, as "module:Class".
            parts: where each class is, by name.
        """
        self.sort = sort
        self._base = base
        self._parts = dict(parts)
        self._registered: dict[
            Path | None, dict[str, type[Any]]
        ] = {}  # by the file that was run; None for no such file
        _REGISTRIES.append(self)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._parts, *plugins(self.sort), *self._in_use()]))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in set(self)

    @property
    def built_in(self) -> list[str]:
        """The names of the project's own."""
        return list(self._parts)

    def classes(self) -> dict[tuple[str, ...], type[Any]]:
        """The project's own classes, each by all of its names."""
        names: dict[type[Any], list[str]] = {}
        for name in self._parts:
            names.setdefault(self.load(name), []).append(name)
        return {tuple(of_class): each for each, of_class in names.items()}

    @property
    def base(self) -> type[Any]:
        """The class that all of them derive from."""
        base: type[Any] = named_by(self._base)
        return base

    def package(self, name: str) -> str | None:
        """The installed package, with its version, that brings the class of that name; None if none does."""
        brought = plugins(self.sort)
        return package_of(brought[name]) if name in brought and name not in self._parts else None

    def load(self, name: str) -> type[Any]:
        """The class of that name.

        Raises:
            KeyError: there is none.
            PlaygroundError: an installed package names something else, or what is not there.
        """
        if (registered := self._in_use().get(name)) is not None:
            return registered
        if name in self._parts:
            part: type[Any] = named_by(self._parts[name])
            return part
        plugin = plugins(self.sort)[name]
        try:
            found: object = plugin.load()
        except (ImportError, AttributeError) as error:
            raise PlaygroundError(f"{described(plugin)} cannot be loaded: {error}") from error
        if not isinstance(found, type) or not issubclass(found, self.base):
            raise PlaygroundError(f"{described(plugin)} is not a {self.base.__name__}")
        return found

    def register(self, name: str) -> Callable[[C], C]:
        """A decorator that adds a class under a name that no other has.

        Raises:
            TypeError: what it decorates does not derive from `base`.
            PlaygroundError: a class of the project, of a package or of another file in use has that name.
        """

        def add(part: C) -> C:
            if not issubclass(part, self.base):
                raise TypeError(f"{part.__name__} is not a {self.base.__name__}")
            if name in self._parts or name in plugins(self.sort):
                raise PlaygroundError(f"{part.__name__}: there is {name!r} among the {self.sort} already")
            other = self._in_use().get(name)
            if other is not None and _place(other) != _place(part):
                raise PlaygroundError(
                    f"{part.__name__} in {_file(part)} and {other.__name__} in {_file(other)} have the same name, "
                    f"{name!r}, among the {self.sort}"
                )
            self._registered.setdefault(_files.running, {})[name] = part
            return part

        return add

    def forget(self, file: Path) -> None:
        """Remove what was registered while a file ran."""
        self._registered.pop(file, None)

    def _in_use(self) -> dict[str, type[Any]]:
        """The registered classes that are found, by name."""
        return {name: part for file in (None, *_files.in_use) for name, part in self._registered.get(file, {}).items()}


class _Files:
    """Users' files that register parts.

    Attributes:
        in_use: those whose parts are found.
        running: the one that is being run, None if none is.
    """

    in_use: tuple[Path, ...] = ()
    running: Path | None = None


_files = _Files()
_REGISTRIES: list[Registry] = []


def use(files: Iterable[Path]) -> None:
    """Have the parts of these files found, which `run_file` has run before, and those of no others.

    A program that loads several configurations calls it with the `plugins` of the one that it works with next.
    """
    _files.in_use = tuple(dict.fromkeys(map(real_path, files)))


def run_file(file: Path) -> None:
    """Run a file that registers parts, as it is now; its parts are found beside those of the files in use.

    Raises:
        PlaygroundError: it is not there, not a Python file, or registers a name that is taken. What it raises itself
            comes through.
    """
    real = real_path(file)
    for registry in _REGISTRIES:
        registry.forget(real)
    use([*_files.in_use, real])
    _files.running = real
    try:
        import_file(file)
    finally:
        _files.running = None


def _place(part: type[Any]) -> tuple[str, str]:
    """The file and the name of a class: the same for one that was imported again."""
    return _file(part), part.__qualname__


def _file(part: type[Any]) -> str:
    """Where a class is from, for a message; what is typed in has a module and no file."""
    file: str | None = getattr(sys.modules.get(part.__module__), "__file__", None)
    return part.__module__ if file is None else display_path(real_path(Path(file)))


def named_by(place: str) -> Any:
    """What "module:name" names; the module is imported."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


@cache
def plugins(sort: str) -> dict[str, EntryPoint]:
    """The entry points of a sort that installed packages bring, by name, such as "lion".

    Raises:
        PlaygroundError: two of them have the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        of, _, name = point.name.partition(".")
        if of != sort:
            continue
        if name in found and found[name] != point:
            raise PlaygroundError(f"{described(found[name])} and {described(point)} have the same name")
        found[name] = point
    return found


def misnamed() -> list[EntryPoint]:
    """The entry points of installed packages that bring no sort of part that there is, such as `optimiser.lion`."""
    return [point for point in entry_points(group=ENTRY_POINTS) if point.name.partition(".")[0] not in _sorts()]


def why_missing(name: object) -> str:
    """What a message about an unknown name adds: the entry point of that name that brings no sort of part."""
    found = [point for point in misnamed() if point.name.rpartition(".")[2] == name]
    return "".join(f"; {misnamed_message(point)}" for point in found)


def misnamed_message(plugin: EntryPoint) -> str:
    """What is wrong with one of `misnamed`."""
    return f"{described(plugin)} must begin with one of {', '.join(f'{sort}.' for sort in _sorts())}"


def _sorts() -> list[str]:
    return [EXPERIMENTS, *dict.fromkeys(registry.sort for registry in _REGISTRIES)]


def package_of(plugin: EntryPoint) -> str:
    """The package that brings an entry point, with its version."""
    return "an unnamed package" if plugin.dist is None else f"{plugin.dist.name} {plugin.dist.version}"


def described(plugin: EntryPoint) -> str:
    """An entry point in a message."""
    return f"the entry point {plugin.name} = {plugin.value!r} of {package_of(plugin)}"
