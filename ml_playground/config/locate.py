"""Line numbers of keys and tables in a TOML text, which `tomllib` does not tell."""

import re
import tomllib

from ml_playground.config.tables import KeyPath

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


def _unquoted(word: str) -> str:
    return next(iter(tomllib.loads(f"{word} = 0"))) if word[0] in "\"'" else word
