"""Any module may be the first that is imported: none needs another one that needs it."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in (ROOT / "ml_playground").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imported_at_once(statements: list[ast.stmt]) -> Iterator[str]:
    """Names of modules, or of what is in them, that are imported when a module is: not within functions."""
    for each in statements:
        match each:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names) if module is not None:
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.If(test, _, otherwise) if "TYPE_CHECKING" in ast.unparse(test):
                yield from imported_at_once(otherwise)
            case ast.If() | ast.With() | ast.Try() | ast.For() | ast.ClassDef():
                yield from imported_at_once(each.body)
            case _:
                pass


def needed(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that must be whole before `name` is, packages around them included."""
    found: set[str] = set()
    for target in imported_at_once(ast.parse(path.read_text(encoding="utf-8")).body):
        parts = target.split(".")
        found |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    around = {name} | {name.rpartition(".")[0]} | {name[:index] for index, sign in enumerate(name) if sign == "."}
    return (found & known.keys()) - around


def test_no_module_needs_itself() -> None:
    known = modules()
    graph = {name: needed(name, path, known) for name, path in known.items()}
    # A package's own modules are imported while it is, which is in order.
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(known)
