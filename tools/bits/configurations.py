"""Reads `configurations.toml`: what is trained, in the TOML of this version and of earlier ones."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("configurations.toml")

Options = dict[str, Any]
"""Values by their dotted key, such as `train.optim.kind`."""
Step = tuple[str, str]
"""A verb and the text of its TOML file."""


@dataclass(frozen=True)
class Configuration:
    """A run: its options, how it is trained, and the configurations that must have run before it."""

    name: str
    options: Options
    halfway: int | None  # it is stopped after this step, and resumed
    then: Sequence[str]  # verbs after training and sampling
    needs: Sequence[str]

    @property
    def needs_tiktoken(self) -> bool:
        """Whether it takes one of tiktoken's tokenizers, which has to be downloaded."""
        return bool(self.options["prepare.tokenizer.kind"] == "gpt2")

    def steps(self, options: Options, places: Mapping[str, str]) -> list[Step]:
        """The verbs and their TOML files, with the configuration spelt as in `options`."""
        text = _toml(options, places)
        greedy = _toml({**options, "sample.sample.temperature": 0.0, "sample.sample.num_samples": 1}, places)
        first: list[Step] = []
        if self.halfway is not None:
            first = [("train", _toml({**options, "train.runtime.max_iters": self.halfway}, places))]
        last = [(verb, text) for verb in self.then]
        return [("prepare", text), *first, ("train", text), ("sample", text), ("sample", greedy), *last]


def read_configurations() -> tuple[dict[str, Configuration], list[tuple[str, str]]]:
    """All configurations by name; and what is spelt otherwise in earlier versions, the latest change first."""
    tables = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    earlier = list(tables.pop("earlier", {}).items())
    base = _flat(tables.pop("base"))
    found: dict[str, Configuration] = {}
    for name, table in tables.items():
        halfway, then, needs = table.pop("halfway", None), table.pop("then", []), table.pop("needs", [])
        options, common = _flat(table), base
        if "train.hf_model.model_name" in options:
            common = {key: value for key, value in base.items() if not key.startswith("train.model.")}
        found[name] = Configuration(name, common | options, halfway, then, needs)
    return found, earlier


def spellings(options: Options, earlier: Sequence[tuple[str, str]]) -> list[Options]:
    """The options as the present version spells them, then as each earlier one did, the latest first."""
    found = [options]
    for new, old in earlier:
        changed = _respelt(found[-1], new, old)
        if changed != found[-1]:
            found.append(changed)
    return found


def _respelt(options: Options, new: str, old: str) -> Options:
    """Put `old` for `new`: keys, or TOML text with one or several keys and their values."""
    if "=" not in new:
        return {old if key == new else key: value for key, value in options.items()}
    wanted = _flat(tomllib.loads(new))
    if any(options.get(key) != value for key, value in wanted.items()):
        return options
    return {key: value for key, value in options.items() if key not in wanted} | _flat(tomllib.loads(old))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Options:
    options: Options = {}
    for key, value in table.items():
        options |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return options


def _toml(options: Options, places: Mapping[str, str]) -> str:
    """A complete TOML file; `<run>` and other places in its texts are replaced by their paths."""
    lines = ["extends = false"]
    for key, value in options.items():
        text = json.dumps(value)  # which TOML reads alike, without null
        for place, path in places.items():
            text = text.replace(f"<{place}>", path)
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"
