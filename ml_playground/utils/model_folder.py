"""Folders in Hugging Face's format, as files. They may come from a stranger: what they bring to be run is left out."""

import errno
import json
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ml_playground.errors import CheckpointError
from ml_playground.utils.tables import Table, is_table

_POINTER = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER = 1024
_READ_AHEAD = 2**20  # bytes of a file: all of what is not weights
_CODE = "auto_map"  # the key under which a JSON file names Python classes to import
_SUFFIXES = (".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken", ".md")  # of files that cannot be run


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file that begins like this is what Git LFS leaves in place of one that was not downloaded."""
    return head.startswith(_POINTER)


def read_table(path: Path) -> Table:
    """The JSON object in a file.

    Raises:
        CheckpointError: it is not one. FileNotFoundError comes through.
    """
    if path.exists():
        _refuse_other(path)
    try:
        values: object = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # not JSON, not text, a number of thousands of digits; too deep
        raise CheckpointError(f"{path} is damaged ({error}).") from error
    if not is_table(values):
        raise CheckpointError(f"{path} is damaged (it holds a {type(values).__name__} instead of an object).")
    return values


def refuse_others(folder: Path, patterns: Iterable[str]) -> None:
    """Raises CheckpointError if what has a name of one of these patterns is not a file, or a pointer of Git LFS."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            _refuse_other(path)


def _refuse_other(path: Path) -> None:
    if not path.is_file():  # but a folder, or a pipe that would be waited for
        raise CheckpointError(f"{path} is not a file.")
    if path.stat().st_size <= _LONGEST_POINTER and is_lfs_pointer(path.read_bytes()):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the file itself. Run 'git lfs pull' in {path.parent}, "
            "or download the model again."
        )


def named_code(folder: Path) -> str | None:
    """What of a folder asks for Python code of its own to be run, for a message; None where nothing does."""
    for path in sorted(folder.glob("*.json")):
        if _CODE in (values := _table_or_empty(path)):
            return f"{_CODE} in {path.name} = {json.dumps(values[_CODE])}"
    return None


def named_kernels(values: object) -> Iterator[str]:
    """Values in a `config.json` that name compiled code on the Hub, such as "kernels-community/flash-attn2"."""
    if not is_table(values):
        return
    for key, value in values.items():
        if key.lstrip("_").endswith(("_implementation", "_implementation_internal")):
            inner = value.values() if is_table(value) else [value]
            yield from (text for text in inner if isinstance(text, str) and "/" in text)
        elif is_table(value):
            yield from named_kernels(value)


@contextmanager
def read_errors(folder: Path) -> Generator[None]:
    """Within it, a file that is there and cannot be read is called that; safetensors calls it missing."""
    try:
        yield
    except FileNotFoundError as error:
        there = next((path for path in folder.glob("*.safetensors") if str(path) in str(error)), None)
        if there is None:
            raise
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(there)) from error


def require_readable(folder: Path) -> None:
    """Raises the system's own error if a file cannot be read: libraries raise others, or do without the file."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                file.read(_READ_AHEAD)


@contextmanager
def without_code(folder: Path) -> Generator[Path]:
    """A temporary folder of the same name with links to the files of `folder` that cannot be run.

    Programs that load models may import the Python files that a folder names, and unpickle its `*.bin` files.
    """
    with TemporaryDirectory() as temporary:
        clean = Path(temporary) / folder.resolve().name
        clean.mkdir()
        for path in sorted(folder.iterdir()):
            if path.suffix not in _SUFFIXES or not path.is_file():
                continue
            if path.suffix == ".json" and _CODE in (values := _table_or_empty(path)):
                kept = {key: value for key, value in values.items() if key != _CODE}
                (clean / path.name).write_text(json.dumps(kept, indent=2), encoding="utf-8")
            else:
                _link(path.resolve(), clean / path.name)
        yield clean


def _link(path: Path, link: Path) -> None:
    try:
        link.symlink_to(path)
    except OSError:  # a file system, or Windows, without links
        shutil.copyfile(path, link)


def _table_or_empty(path: Path) -> Table:
    try:
        return read_table(path)
    except (CheckpointError, FileNotFoundError):
        return {}
