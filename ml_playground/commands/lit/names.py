"""What the page calls runs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def unique_names(paths: Sequence[Path], arms: Mapping[Path, str] | None = None) -> list[str]:
    """The names of some folders, with as many of the folders above as tell them apart.

    The page splits at some characters, and those that have a meaning in an address would get lost.

    Args:
        paths: the folders.
        arms: the arms of those that are runs of a sweep, which are named so; with their seed, where there are several.
    """
    of_arms = [(arms or {}).get(path) for path in paths]
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        names: list[str] = []
        for path, arm in zip(paths, of_arms, strict=True):
            folders = path.parts[-depth:] if arm is None else [arm, path.name][: min(2, of_arms.count(arm))]
            names.append(_plain("-".join(folders)))
        if len(set(names)) == len(names) and all(names):
            return names
    return [f"run-{number}" for number in range(1, 1 + len(paths))]


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-_")
