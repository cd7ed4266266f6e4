"""List what there is to choose from."""

import sys
from collections.abc import Iterator

from ml_playground import experiments
from ml_playground.config import registries
from ml_playground.errors import PlaygroundError
from ml_playground.utils.registry import Registry, misnamed, misnamed_message

Row = tuple[str, str, str | None]  # a name, what it is, and the installed package that brings it


def run(what: str) -> None:
    """Print the experiments, or the kinds of every part that a TOML file can name, each with what it is.

    What an installed package brings is followed by that package's name and version.
    """
    if what == "experiments":
        print("\n".join(_lines([(each.name, each.summary(), each.package) for each in experiments.all_experiments()])))
        return
    for registry in _registries():
        print(registry.sort)
        for line in _lines([(name, _summary(registry, name), registry.package(name)) for name in registry]):
            print(f"  {line}")
    for plugin in misnamed():
        print(f"! {misnamed_message(plugin)}", file=sys.stderr)


def _registries() -> Iterator[Registry]:
    yield from (each for each in vars(registries).values() if isinstance(each, Registry))


def _summary(registry: Registry, name: str) -> str:
    """The first line of the docstring of a part's class, or why it cannot be loaded."""
    try:
        return (registry.load(name).__doc__ or "").strip().partition("\n")[0]
    except PlaygroundError as error:
        return str(error)


def _lines(rows: list[Row]) -> Iterator[str]:
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, summary, package in rows:
        yield f"{name:{width}}  {summary}{f' ({package})' if package else ''}"
