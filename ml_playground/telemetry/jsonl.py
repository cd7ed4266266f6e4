"""JSON lines: one object per line, appended as things happen."""

import json
from pathlib import Path
from typing import Any

from ml_playground.files import atomic_write


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All rows; a last line that a crash cut short is left out."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def drop_after(path: Path, step: int) -> None:
    """Remove the rows of steps beyond `step`, which a resumed run will take again."""
    rows = read_jsonl(path)
    kept = [row for row in rows if row["step"] <= step]
    if kept != rows or path.exists():
        with atomic_write(path) as file:
            file.writelines((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in kept)
