"""Values of a configuration as a run keeps them."""

import os
from pathlib import Path
from typing import Any

from ml_playground.utils.tables import is_table


def relative_paths(values: Any, root: Path) -> Any:
    """`values` as JSON types; paths below `root` are relative to it, so that no home folder leaks.

    The options of a user's own model are kept as they are stated: what they mean is known to that model only.
    """
    if is_table(values):
        return {key: inner if key == "options" else relative_paths(inner, root) for key, inner in values.items()}
    if isinstance(values, list):
        return [relative_paths(each, root) for each in values]  # pyright: ignore[reportUnknownVariableType] -- any
    if isinstance(values, Path):
        return values.relative_to(root).as_posix() if values.is_relative_to(root) else str(values)
    if isinstance(values, str) and values.startswith(f"{root}{os.sep}"):  # such as init_from
        return relative_paths(Path(values), root)
    if isinstance(values, str) and values.startswith("FILE:"):
        return f"FILE:{relative_paths(Path(values.removeprefix('FILE:')), root)}"
    return values
