from pathlib import Path

from ml_playground.run.rows import append_jsonl, keep_rows, read_jsonl


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    rows = [{"step": 1, "text": "größer\n"}, {"step": 2, "text": "line\u2028separator"}, {"step": 3, "text": ""}]
    for row in rows:
        append_jsonl(path, row)
    assert read_jsonl(path) == rows
    assert read_jsonl(tmp_path / "none.jsonl") == []


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_jsonl(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert read_jsonl(path) == [{"step": 1}]
    append_jsonl(path, {"step": 3})
    assert read_jsonl(path) == [{"step": 1}, {"step": 3}]


def test_unwanted_rows_are_dropped_with_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for step in (1, 2, 2, 3):
        append_jsonl(path, {"step": step})
    with path.open("a") as file:
        file.write('{"st')
    keep_rows(path, lambda row: row["step"] <= 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 2}\n'
