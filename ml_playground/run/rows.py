"""JSON Lines files: one object per line, appended as things happen."""

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
    """All rows; malformed lines are skipped."""
    return [row for line in _lines(path) if (row := _row(line)) is not None]


def keep_rows(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Remove the rows of a file that are not `wanted`, and a last row that a crash cut short.

    If other lines are malformed, the file is damaged: a copy is kept under another name, which is printed.
    """
    lines = _lines(path)
    if any(line.strip() and _row(line) is None for line in lines[:-1]):
        aside = unused_name(path)
        link_or_copy(path, aside)
        print(
            f"! {path.name} is damaged: keeping its readable rows, and a copy of all of it in {aside.name}",
            file=sys.stderr,
        )
    if lines:
        with atomic_write(path) as file:
            file.writelines(_line(row) for line in lines if (row := _row(line)) is not None and wanted(row))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n") if path.is_file() else []


def _row(line: bytes) -> dict[str, Any] | None:
    """The row in a line, an object with a step; None if it is anything else."""
    try:
        row: object = json.loads(line)
    except (ValueError, RecursionError):  # also for bytes that are not UTF-8
        return None
    return row if is_table(row) and isinstance(row.get("step"), int) else None


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
