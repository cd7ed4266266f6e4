"""Texts and values as a page may contain them."""

import base64
import hashlib
import html
import json
import math
import re
from importlib import resources

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def escaped(text: str) -> str:
    """A text as HTML, in which what no page may contain is replaced."""
    return html.escape(_CONTROL.sub("\ufffd", text.replace("\r\n", "\n")))


def printable(text: str) -> str:
    """A text as it is, in which what no page may contain is replaced."""
    return _CONTROL.sub("\ufffd", text)


def visible(text: str) -> str:
    """A token's text on one line, with spaces and line breaks that can be seen."""
    return printable(text.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥"))


def finite(value: float, digits: int) -> float:
    """A number that JSON has."""
    return round(value, digits) if math.isfinite(value) else 1e9


def data_script(name: str, values: object) -> str:
    """An element of that id with what a script reads, in which nothing ends it."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def resource(name: str) -> str:
    """A file of this package."""
    return resources.files("ml_playground.analysis").joinpath(name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """What a page's policy calls a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
