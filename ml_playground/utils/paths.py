"""Paths: resolved, as messages show them, and of files in this package."""

import os
from pathlib import Path

_PACKAGE = Path(os.path.realpath(__file__)).parents[1]


def real_path(path: Path) -> Path:
    """`path` without `..` and links. `Path.resolve` would raise for links that lead in a circle."""
    return Path(os.path.realpath(path))


def display_path(path: Path) -> str:
    """`path` as a message shows it: relative to the current folder where it is below, and printable."""
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return str(path).encode(errors="backslashreplace").decode()


def project_root(path: Path) -> Path:
    """Where relative paths of the file `path` count from: its nearest parent with a pyproject.toml, else its folder.

    Its parents are those of the file itself, by whatever way through `..` and links it was named. Those of the files of
    an installed package count from the current folder.
    """
    folder = real_path(path).parent
    if _is_installed(folder):
        return real_path(Path.cwd())
    return next((parent for parent in (folder, *folder.parents) if (parent / "pyproject.toml").is_file()), folder)


def output_folder(folder: Path) -> Path:
    """Where the data and the runs of the experiment in `folder` go: there.

    Those of an experiment that an installed package brings go to the folder of its name in the current one.
    """
    return real_path(Path.cwd()) / folder.name if _is_installed(folder) else folder


def in_package(path: Path) -> Path | None:
    """The place that `path`, if it begins with the package's name, has in the package, wherever that is installed.

    So `ml_playground/configs/shakespeare_cpu.toml` means the same in any folder.
    """
    return _PACKAGE.parent / path if path.parts[:1] == (_PACKAGE.name,) else None


def name_in_package(path: Path) -> str | None:
    """The relative path that `in_package` takes for a file of the package; None for any other file."""
    return path.relative_to(_PACKAGE.parent).as_posix() if path.is_relative_to(_PACKAGE) else None


def _is_installed(folder: Path) -> bool:
    """Whether `folder` belongs to an installed package, in which nothing may be written."""
    return not {"site-packages", "dist-packages"}.isdisjoint(folder.parts)
