"""Line numbers of keys and tables in a TOML text, which `tomllib` does not tell."""

import re
import tomllib

from ml_playground.utils.tables import KeyPath

_DEEPEST = 20  # parts of a key, open brackets
_TOKEN = re.compile(
    r'''(?P<comment>\#[^\n]*)
    |(?P<string>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<newline>\n)
    |(?P<open>[\[{])
    |(?P<close>[\]}])
    |(?P<equals>=)
    |(?P<bare>[A-Za-z0-9_-]+)
    |(?P<other>.)''',
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map each table and each key to the line (from 1) that states it. `text` must be valid TOML.

    Keys inside inline tables are not listed: their line is that of the key that holds the table.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    key: list[str] = []
    line, depth, place = 1, 0, "start"  # place in the statement: start, header, key, value
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token.group()
        if place == "start" and kind == "open":
            place = "header"
        elif place in ("start", "key") and kind in ("bare", "string"):
            key.append(_unquoted(word))
            place = "key"
        elif place == "header" and kind in ("bare", "string"):
            key.append(_unquoted(word))
        elif place == "header" and kind == "close" and key:
            table, key = tuple(key), []
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], line)
        elif place == "key" and kind == "equals":
            for length in range(1, len(key) + 1):
                lines.setdefault((*table, *key[:length]), line)
            key, place = [], "value"
        elif place == "value" and kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        elif kind == "newline" and depth == 0:
            place = "start"
        line += word.count("\n")
    return lines


def too_deep(text: str) -> int | None:
    """The line at which tables or lists are nested deeper than anything here needs, None where none are.

    In valid TOML that is so many dots between the parts of a key, or so many open brackets.
    """
    line, brackets, parts, before = 1, 0, 0, ""
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token.group()
        if kind in ("bare", "string"):
            parts = parts + 1 if before == "." else 1
        elif kind in ("open", "close"):
            brackets += 1 if kind == "open" else -1
        if max(brackets, parts) > _DEEPEST:
            return line
        line += word.count("\n")
        before = before if word in " \t" else word
    return None


def _unquoted(word: str) -> str:
    return next(iter(tomllib.loads(f"{word} = 0"))) if word[0] in "\"'" else word
