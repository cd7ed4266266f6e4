"""Files of rows, JSON lines: one object per line, added as things happen."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ml_playground.utils.files import atomic_write, link_or_copy, refuse_other, unused_name
from ml_playground.utils.tables import is_table


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_other(path)
    with path.open("a+b") as file:
        if file.tell() and _last_byte(file) != b"\n":  # a crash cut the last row short
            file.write(b"\n")
        file.write(_line(row))


def append_text(path: Path, text: str) -> None:
    """Append plain text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All rows; lines that are not rows are left out."""
    return [row for line in _lines(path) if (row := _row(line)) is not None]


def keep_rows(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Remove the other rows of a file, and what is left of one that a crash cut short.

    A file with lines that are not rows is damaged: as it is, it is kept under another name, which is printed.
    """
    lines = _lines(path)
    if any(line.strip() and _row(line) is None for line in lines[:-1]):
        aside = unused_name(path)
        link_or_copy(path, aside)
        print(f"! {path.name} is damaged: its readable rows are kept, and all of it in {aside.name}", file=sys.stderr)
    if lines:
        with atomic_write(path) as file:
            file.writelines(_line(row) for line in lines if (row := _row(line)) is not None and wanted(row))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n") if path.is_file() else []


def _row(line: bytes) -> dict[str, Any] | None:
    """The row that a line holds, an object with a step; None where it holds something else."""
    try:
        row: object = json.loads(line)
    except (ValueError, RecursionError):  # bytes that are not UTF-8 are among them
        return None
    return row if is_table(row) and isinstance(row.get("step"), int) else None


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
