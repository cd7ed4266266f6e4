"""Prints what was measured as the table of docs/export.md."""

import pytest

ROWS: list[str] = []
"""Filled in by the tests."""

HEAD = """\
| model | tokenizer | file | tokens alike | greedy tokens alike | largest difference of a log-probability |
| --- | --- | --- | --- | --- | --- |"""


@pytest.fixture
def table() -> list[str]:
    """Rows to print at the end."""
    return ROWS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if ROWS:
        terminalreporter.write_line("\n".join(["", HEAD, *sorted(ROWS)]))
