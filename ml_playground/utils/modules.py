"""Python files that users bring: `prepare.py` and models of their own, with the helpers beside them.

For each such file, its folder is made a package under a name that nothing else has. In its files, `import helper` finds
their own folder's `helper.py` first. Nothing is added to `sys.path`: two experiments may each have a helper of that
name, and libraries never get a user's file instead of what they import.
"""

import builtins
import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from ml_playground.errors import PlaygroundError

_PREFIX = "ml_playground_user_"  # of the packages' names


def code_hash(path: Path | None) -> str | None:
    """The SHA-256 of a Python file; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None


def import_file(path: Path) -> ModuleType:
    """Run a Python file, and the helpers that it imports, as they are now.

    Raises:
        PlaygroundError: it is not there, or not a Python file. What it raises itself comes through.
    """
    if path.suffix != ".py" or not path.is_file():
        raise PlaygroundError(f"{path} is not a Python file that could be imported")
    resolved = path.resolve()
    package = ModuleType(_PREFIX + hashlib.sha256(str(resolved).encode(errors="surrogateescape")).hexdigest()[:16])
    for name in [each for each in sys.modules if each.partition(".")[0] == package.__name__]:
        del sys.modules[name]
    package.__path__ = [str(resolved.parent)]
    sys.modules[package.__name__] = package
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    importlib.invalidate_caches()  # a helper may have been written a moment ago
    name = f"{package.__name__}.{path.stem.replace('.', '_')}"
    loader = _Loader(name, str(path))
    spec = spec_from_file_location(name, path, loader=loader)
    assert spec is not None  # it has a loader
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    loader.exec_module(module)
    return module


class _Finder(PathFinder):
    """Finds the modules of users' packages."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """That of a module in a user's package, with a loader that lets it find its neighbours; else None."""
        if not fullname.startswith(_PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a user's file with an `import` that looks beside it first."""

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        package = module.__name__.partition(".")[0]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _Neighbours(package)}
        super().exec_module(module)


class _Neighbours:
    """What `import` calls in the files of a user's package."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __call__(
        self,
        name: str,
        variables: Mapping[str, object] | None = None,
        local: Mapping[str, object] | None = None,
        wanted: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """As `__import__` does, which the parameters are of."""
        first = name.partition(".")[0]
        if level or not self._has(first):
            return builtins.__import__(name, variables, local, wanted or (), level)
        module = importlib.import_module(f"{self._package}.{name}")
        if not wanted:
            return sys.modules[f"{self._package}.{first}"]
        return builtins.__import__(module.__name__, variables, local, wanted, 0)

    def _has(self, name: str) -> bool:
        beside = Path(sys.modules[self._package].__path__[0]) / name
        if name == __name__.partition(".")[0]:  # a file in the clone's own folder
            return False
        return beside.with_name(f"{name}.py").is_file() or any(beside.rglob("*.py"))
