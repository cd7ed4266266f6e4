"""Paths: their real names, and as messages show them."""

import os
from pathlib import Path


def real_path(path: Path) -> Path:
    """`path` without `..` and links. `Path.resolve` would raise for links that lead in a circle."""
    return Path(os.path.realpath(path))


def shown(path: Path) -> str:
    """`path` as a message shows it: relative to the current folder where it is below, and printable."""
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return str(path).encode(errors="backslashreplace").decode()
