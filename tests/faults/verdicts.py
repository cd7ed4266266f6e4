"""What is looked at after a command: how it ended, what it left, and whether it said what it could not do."""

import re
from pathlib import Path
from typing import Any

from tests.faults import projects
from tests.faults.commands import Ended, command

Result = dict[str, Any]
Problem = tuple[str, str]  # one of `KINDS`, and what happened
KINDS = ("lost", "silent", "traceback", "hang", "other")


def ended_well(ended: Ended, *, killed: bool = False) -> list[Problem]:
    """0, or 2 with a message (or a kill)."""
    if ended.code is None:
        return [("hang", f"no end after {ended.seconds:.0f} s; said: {last_lines(ended.said)}")]
    if "Traceback (most recent call last)" in ended.said:
        return [("traceback", f"code {ended.code}: {last_lines(ended.said, 12)}")]
    if ended.code not in (0, 2, *([-9] if killed else [])):
        return [("other", f"code {ended.code}: {last_lines(ended.said)}")]
    if ended.code == 2 and not ended.err.strip():
        return [("other", "code 2 without a message")]
    return []


def unsaid(root: Path, verb: str, ended: Ended, expected: dict[str, str], out: str) -> list[Problem]:
    """A command that ended with 0 did its work, or said that it did not."""
    told = "!" in ended.said or ended.err.strip()
    found = projects.differences(projects.state(root), expected)
    if verb == "sample" and ended.out != out and not told:
        return [("silent", f"other text: {ended.out!r}")]
    return [("silent", f"success, but {'; '.join(found)}")] if found and not told else []


def after_damage(root: Path, file: str, verb: str, ended: Ended, expected: Result) -> list[Problem]:
    """What a command did beside a damaged file is what it always does, or it says that the file is damaged."""
    named = bool(file) and _names(file, ended.said)
    if ended.code == 2:
        if not named:
            return [("other", "the message does not name the file")]
        if verb != "train":
            return []
        if "datasets" not in file:
            return [("lost", "training stops, though the file has a substitute")]
        again = [command(root, "prepare"), command(root, "train")]
        for each in again:
            if each.code != 0:
                return ended_well(each) or [("lost", f"prepare and train end with {each.code}: {last_lines(each.err)}")]
    if verb == "sample":
        return [] if ended.out == expected["out"] or named else [("silent", f"other text: {ended.out!r}")]
    found = projects.differences(projects.state(root), expected["state"])
    drawn = f"{Path(file).parent}/reports/loss.svg " if file.endswith("/metrics.jsonl") else file  # of the rows left
    found = [each for each in found if not each.startswith((f"{file} ", drawn)) and MADE[verb] in each]
    return [("silent", "; ".join(found))] if found and not named else []


_COMPLAINS = re.compile(
    r"(?i)damaged|altered|checksum|cut short|missing|expected|stale|aside|unreadable|cannot|could not|not (a|the)\b|^!"
)
# What a command makes, of all that is in a project.
MADE = {"train": "out/", "prepare": "datasets/", "export": "/export/", "merge": "/merged/", "describe": "nothing"}


def _names(file: str, said: str) -> bool:
    """Whether one of the lines complains of a file, or of the folder that it is a part of."""
    parts = Path(file).parts[1:2] if "datasets" in file else Path(file).parts[3:]
    return any(_COMPLAINS.search(line) and any(part in line for part in parts) for line in said.splitlines())


def resumes(root: Path, verb: str, expected: dict[str, str]) -> list[Problem]:
    """The same command, with nothing in its way, does it all."""
    again = command(root, verb)
    if again.code != 0:
        kind = "hang" if again.code is None else "traceback" if "Traceback" in again.said else "lost"
        return [(kind, f"the next start ended with {again.code}: {last_lines(again.said, 8)}")]
    found = projects.differences(projects.state(root), expected) if expected else []
    kind = "other" if all("left over" in each for each in found) else "lost"
    return [(kind, f"after the next start: {'; '.join(found)}; said: {last_lines(again.said, 5)}")] if found else []


def checkpoints(root: Path) -> dict[str, int]:
    """The checkpoints that are there, with their steps; -1 is one that cannot be loaded."""
    from ml_playground.errors import CheckpointError
    from ml_playground.run.checkpoint import load

    steps: dict[str, int] = {}
    for path in root.rglob("ckpt_*.pt"):
        try:
            steps[path.name] = load(path).progress.step
        except CheckpointError:
            steps[path.name] = -1
    return steps


def lost(root: Path, before: dict[str, int]) -> list[Problem]:
    """Of last and best, none went missing, went back or broke."""
    now = checkpoints(root)
    broken = [f"{name} is broken" for name, step in now.items() if step < 0 and name != "ckpt_damaged.pt"]
    gone = [
        f"{name} was of step {before[name]}, now {now.get(name, 'missing')}"
        for name in ("ckpt_last.pt", "ckpt_best.pt")
        if name in before and now.get(name, -1) < before[name]
    ]
    return [("lost", "; ".join(broken + gone))] if broken or gone else []


def last_lines(text: str, count: int = 3) -> str:
    return " | ".join(text.strip().splitlines()[-count:])
