from ml_playground.utils.tables import has_key, merge, table_at, toml_lines


def test_merge_goes_table_by_table_and_key_by_key() -> None:
    base = {"a": {"x": 1, "y": {"z": 1}}, "b": 1}
    over = {"a": {"y": {"w": 2}, "x": 3}, "c": 4}
    assert merge(base, over) == {"a": {"x": 3, "y": {"z": 1, "w": 2}}, "b": 1, "c": 4}


def test_merge_replaces_a_value_by_a_table_and_a_table_by_a_value() -> None:
    assert merge({"a": 1, "b": {"x": 1}}, {"a": {"x": 1}, "b": 2}) == {"a": {"x": 1}, "b": 2}


def test_merge_changes_neither_side_and_shares_no_table_with_them() -> None:
    base, over = {"a": {"x": 1}}, {"b": {"y": 2}}
    merged = merge(base, over)
    merged["a"]["x"] = merged["b"]["y"] = 9
    assert base == {"a": {"x": 1}}
    assert over == {"b": {"y": 2}}


def test_table_at_finds_tables_only() -> None:
    values = {"a": {"b": {"c": 1}}}
    assert table_at(values, ()) is values
    assert table_at(values, ("a", "b")) == {"c": 1}
    assert table_at(values, ("a", "x")) is None
    assert table_at(values, ("a", "b", "c")) is None
    assert table_at(values, ("a", "b", "c", "d")) is None


def test_states_tells_keys_that_are_there() -> None:
    values = {"a": {"b": 0}}
    assert has_key(values, ("a",))
    assert has_key(values, ("a", "b"))
    assert not has_key(values, ("b",))
    assert not has_key(values, ("a", "b", "c"))


def test_values_outside_all_tables_have_no_header() -> None:
    assert list(toml_lines({"plugins": ["a.py"], "prepare": {"x": 1}})) == [
        'plugins = ["a.py"]',
        "",
        "[prepare]",
        "x = 1",
        "",
    ]
