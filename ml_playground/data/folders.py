"""What a folder of raw text holds: texts, tables, and what is left out of it and why."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ml_playground.errors import DataError
from ml_playground.utils.paths import display_path

_HIDDEN = (".", "~$")  # prefixes of hidden files and of Office's lock files
_SYSTEM = {
    "__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "Thumbs.db",
    "desktop.ini",
}  # fmt: skip
_PREPARED = {"train.bin", "val.bin", "meta.json", "train.jsonl", "val.jsonl", "prepare.lock"}
_TOKENIZER = "tokenizer"
_EXAMPLES = 5


@dataclass
class Contents:
    """A folder with all that is below it, in the order of names.

    Attributes:
        endings: of the files that are looked for.
        found: the files with one of them.
        others: files with other endings.
        hidden: hidden files and folders, and those that belong to a system.
        seen: folders that are read under another name already.
        unreadable: what should be read but cannot be, each with the reason.
    """

    endings: tuple[str, ...]
    found: list[Path] = field(default_factory=list[Path])
    others: list[Path] = field(default_factory=list[Path])
    hidden: list[Path] = field(default_factory=list[Path])
    seen: list[Path] = field(default_factory=list[Path])
    unreadable: list[str] = field(default_factory=list[str])

    def left_out(self, folder: Path) -> list[str]:
        """A line for each kind of thing that is not read."""
        endings = Counter(path.suffix.lower() or "no ending" for path in self.others)
        counts = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(_EXAMPLES))
        kinds = [
            (self.others, f"with other endings than {' and '.join(self.endings)} ({counts})"),
            (self.hidden, "hidden, or of the system"),
            (self.seen, "a link to a folder that is read already"),
        ]
        return [f"left out of {display_path(folder)}: {_some(paths, folder)}: {why}" for paths, why in kinds if paths]


def contents_of(folder: Path, endings: tuple[str, ...]) -> Contents:
    """Look through `folder` for files with these endings. Links are followed.

    No folder is read twice; what is not a folder holds nothing.
    """
    found = Contents(endings)
    folders, links, seen = ([folder] if folder.is_dir() else []), list[Path](), set[tuple[int, int]]()
    while folders or links:  # links last, so that a folder is read under its own name where it has one
        here = folders.pop() if folders else links.pop(0)
        about = here.stat()
        if (about.st_dev, about.st_ino) in seen:
            found.seen.append(here)
            continue
        seen.add((about.st_dev, about.st_ino))
        try:
            with os.scandir(here) as entries:
                paths = sorted(here / entry.name for entry in entries if not _is_prepared(here / entry.name, folder))
        except OSError as error:
            found.unreadable.append(f"{here} cannot be read ({error.strerror})")
            continue
        for path in paths:
            if path.name.startswith(_HIDDEN) or path.name in _SYSTEM:
                found.hidden.append(path)
            elif (why := why_unreadable(path, or_folder=True)) is not None:
                found.unreadable.append(f"{path} {why}")
            elif path.is_dir():
                (links if path.is_symlink() else folders).append(path)
            else:
                (found.found if path.suffix.lower() in endings else found.others).append(path)
    for paths in (found.found, found.others, found.hidden):
        paths.sort()
    return found


def why_unreadable(path: Path, *, or_folder: bool = False) -> str | None:
    """Why what is at `path` cannot be read as a file, or as a folder where that will do; None if it can."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a broken link" if path.is_symlink() else "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISREG(mode) or (or_folder and stat.S_ISDIR(mode)):
        return None
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return f"is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file"


def require_file(path: Path) -> None:
    """Raises DataError if there is no file at `path`, before anything waits for one."""
    if (why := why_unreadable(path)) is not None:
        raise DataError(f"{path} {why}.")


def _is_prepared(path: Path, root: Path) -> bool:
    """Whether it is what `prepare` writes: raw text may be in the folder of the data made from it."""
    if path.parent == root:
        return path.name in _PREPARED
    return path.parent == root / _TOKENIZER and path.suffix in (".json", ".jinja")


def _some(paths: Iterable[Path], folder: Path) -> str:
    names = [os.fspath(path.relative_to(folder)) for path in paths]
    more = f" and {len(names) - _EXAMPLES:,} more" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]).encode(errors="backslashreplace").decode() + more
