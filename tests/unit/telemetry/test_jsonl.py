from pathlib import Path

from ml_playground.telemetry.jsonl import append_jsonl, drop_after, read_jsonl


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    rows = [{"step": 1, "text": "größer\n"}, {"step": 2, "text": ""}]
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


def test_rows_beyond_a_step_are_dropped_with_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for step in (1, 2, 2, 3):
        append_jsonl(path, {"step": step})
    with path.open("a") as file:
        file.write('{"st')
    drop_after(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 2}\n'
