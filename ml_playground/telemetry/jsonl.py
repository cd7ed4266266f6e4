"""Files that grow as things happen, above all JSON lines: one object per line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ml_playground.files import atomic_write


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
    """All rows; one that a crash cut short is left out."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return rows


def keep_rows(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Remove the other rows of a file, and what is left of one that was cut short."""
    rows = read_jsonl(path)
    if path.exists():
        with atomic_write(path) as file:
            file.writelines(_line(row) for row in rows if wanted(row))


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
