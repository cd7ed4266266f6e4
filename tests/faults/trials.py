"""The trials: each runs in a process that the server forks, and tells what went wrong.

A result is `{"faults": how many, "problems": [[kind, what], ...]}`; the kinds are those of `verdicts.KINDS`.
"""

import os
import random
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults import power_cut, projects
from tests.faults.commands import Started, command
from tests.faults.damage import Damage, damages
from tests.faults.shim import KILL, Fault
from tests.faults.verdicts import (
    MADE,
    Problem,
    Result,
    after_damage,
    checkpoints,
    ended_well,
    last_lines,
    lost,
    resumes,
    unsaid,
)


def prepare_template(root: str, kind: projects.Kind, verbs: list[str], options: dict[str, str]) -> Result:
    """Make a project to copy; the modules that this needed."""
    projects.make(Path(root), kind, verbs, **options)
    return {}


def reference(template: str, verbs: list[str], only: str = "", without: str = "") -> Result:
    """What commands do and leave when nothing goes wrong: the calls of the last of them, and the state afterwards."""
    with _Copy(template) as root:
        for verb in verbs[:-1]:
            earlier = command(root, verb)
            assert earlier.code == 0, earlier.said
        ended = command(root, verbs[-1])
        assert ended.code == 0, ended.said
        calls = [
            [int(call.operation), call.path.replace(str(root), "")]
            for call in ended.calls
            if (not only or only in call.path) and (not without or without not in call.path)
        ]
        return {"calls": calls, "state": projects.state(root), "out": ended.out, "seconds": ended.seconds}


def killed(template: str, expected: dict[str, str], calls: int, seconds: float, seed: int) -> Result:
    """A training killed at a random call or a random time, some of them more than once, then resumed to the end."""
    luck = random.Random(seed)
    with _Copy(template) as root:
        kills, problems, told = 0, list[Problem](), list[str]()
        while True:
            before = checkpoints(root)
            if luck.random() < 0.8:
                fault = Fault(at=luck.randint(1, calls), error=KILL, half=luck.random() < 0.5)
                ended = command(root, "train", fault=fault)
                told.append(f"call {fault.at}{' (half)' * fault.half}")
            else:
                delay = luck.uniform(0, seconds)
                ended = Started(root, "train").end(kill_after=delay)
                told.append(f"after {delay:.3f} s")
            if ended.code == 0:
                break
            kills += ended.code == -9
            problems += ended_well(ended, killed=True) + lost(root, before)
            if problems or luck.random() < 0.25:
                break
        if not problems:
            problems += resumes(root, "train", expected)
        return _result(root, problems, kills, f"seed {seed}: killed at {', '.join(told)}")


def failing(template: str, verb: str, expected: dict[str, str], out: str, fault: dict[str, Any]) -> Result:
    """A command one of whose calls fails; then the same command, with nothing failing."""
    with _Copy(template) as root:
        before = checkpoints(root)
        ended = command(root, verb, fault=Fault(**fault))
        hit = next((call for call in ended.calls if call.error), None)
        at = "no call was hit" if hit is None else f"{hit.operation.name} {hit.path.replace(str(root), '')}"
        problems = ended_well(ended) + lost(root, before)
        if ended.code == 0 and hit is not None:
            problems += unsaid(root, verb, ended, expected, out)
        if not problems:
            problems += resumes(root, verb, expected)
        told = f"{verb}, {fault}: {at}: code {ended.code}, said: {last_lines(ended.err)}"
        return _result(root, problems, int(hit is not None), told)


def damage_of(template: str, folder: str, flips: int, cuts: int, seed: int) -> list[dict[str, Any]]:
    """What can befall the files below a folder of a project."""
    root = Path(template)
    files = (path for path in (root / folder).rglob("*") if path.is_file())
    paths = sorted(path for path in files if projects.counts(path, root) or path.name == "checksums.json")
    return [
        {"file": str(path.relative_to(root)), "damage": asdict(damage)}
        for path in paths
        for damage in damages(path, flips=flips, cuts=cuts, seed=seed)
    ]


def in_a_row(template: str, verbs: list[str]) -> Result:
    """What each of some commands prints, and leaves, when nothing is damaged."""
    results: Result = {}
    with _Copy(template) as root:
        for verb in verbs:
            ended = command(root, verb)
            assert ended.code == 0, ended.said
            results[verb] = {"out": ended.out, "state": projects.state(root)}
    return results


def damaged(template: str, file: str, damage: dict[str, Any], verbs: list[str], expected: Result) -> Result:
    """Commands after one another where one file is damaged; each uses what is sound, or says what is not."""
    what = Damage(**damage)
    with _Copy(template) as root:
        what.apply(root / file)
        problems, told = list[Problem](), f"{file}: {what.how} at {what.place}.{what.bit} ({what.kind})"
        for verb in verbs:
            ended = command(root, verb)
            found = ended_well(ended) or after_damage(root, file, verb, ended, expected[verb])
            problems += [(kind, f"{verb}: {text}; said: {last_lines(ended.err or ended.out)}") for kind, text in found]
        return _result(root, problems, 1, told)


def cuts(template: str, verb: str, each: int, folder: str, most: int) -> Result:
    """Record a command, and write what a power cut in it could leave, each state to a folder of its own."""
    with _Copy(template) as root:
        ended = command(root, verb, with_data=True)
        assert ended.code == 0, ended.said
        expected = projects.state(root)
        calls = [call for call in ended.calls if "/logs/" not in call.path]
        modelled = power_cut.last_state(calls, Path(template), str(root))
        real = {name: (root / name).read_bytes() for name in expected}
        wrong = [name for name, data in real.items() if modelled.get(name) != data]
        assert not wrong, f"the model of the disk is wrong about {wrong}"
        found = list(power_cut.states(calls, Path(template), str(root), each=each, seed=1))
        chosen = found if len(found) <= most else random.Random(1).sample(found, most)
        states: list[dict[str, Any]] = []
        for number, state in enumerate(chosen):
            place = Path(folder) / str(number) / "p"
            power_cut.write(state.files, place, Path(template))
            states.append({"template": str(place), "what": state.what, "saved": state.saved})
        return {"calls": len(calls), "possible": len(found), "states": states, "expected": expected}


def after_cut(template: str, what: str, saved: int, verb: str, expected: dict[str, str], steps: list[int]) -> Result:
    """A command is run again in what a power cut left of it."""
    with _Copy(template) as root:
        problems = list[Problem]()
        step = max(
            [-1, *(step for name, step in checkpoints(root).items() if name in ("ckpt_last.pt", "ckpt_prev.pt"))]
        )
        if saved and step < steps[saved - 1]:
            problems.append(("lost", f"step {steps[saved - 1]} had been saved, {step} is left"))
        if verb in ("export", "merge"):
            made = {
                name: digest for name, digest in projects.state(root).items() if MADE[verb] in name and "/." not in name
            }
            half = [name for name, digest in made.items() if expected.get(name) != digest and not name.endswith(".tmp")]
            problems += [("silent", f"{', '.join(half)} stand there as if whole")] if half else []
        ended = command(root, verb)
        found = ended_well(ended) or after_damage(root, "", verb, ended, {"out": "", "state": expected})
        problems += [(kind, f"{text}; said: {last_lines(ended.err or ended.out)}") for kind, text in found]
        return _result(root, problems, 1, f"{verb}, power cut {what}")


def together(template: str, first: str, beside: str, expected: dict[str, str], seed: int) -> Result:
    """A command, and another one again and again while it runs; neither may end the other."""
    luck = random.Random(seed)
    with _Copy(template) as root:
        problems, times = list[Problem](), 0
        slow = Fault(slow=luck.choice((0, 20_000, 200_000)))
        running = Started(root, first, name="first", fault=slow)
        while running.runs():
            time.sleep(luck.uniform(0, 0.05))
            times += 1
            ended = command(root, beside)
            problems += [(kind, f"{beside}: {what}") for kind, what in ended_well(ended)]
        ended = running.end()
        problems += [(kind, f"{first}: {what}") for kind, what in ended_well(ended)]
        if ended.code == 2 and (first == "train" != beside or "is writing here" not in ended.err):
            problems.append(("lost", f"{first} was ended: {last_lines(ended.err)}"))
        for verb in dict.fromkeys((first, beside)):  # what was refused meanwhile is done now
            if not problems:
                problems += resumes(root, verb, expected if verb == beside else {})
        return _result(root, problems, times, f"{beside} {times} times beside {first}")


class _Copy:
    """A copy of a template; it stays for inspection where FAULTS_KEEP is set."""

    def __init__(self, template: str) -> None:
        self._template = Path(template)

    def __enter__(self) -> Path:
        self._folder = Path(tempfile.mkdtemp(prefix="trial-", dir=self._template.parent))
        return projects.copy(self._template, self._folder / "p")

    def __exit__(self, *_: object) -> None:
        if "FAULTS_KEEP" not in os.environ:
            shutil.rmtree(self._folder, ignore_errors=True)


def _result(root: Path, problems: list[Problem], faults: int, told: str) -> Result:
    kept = f" [kept in {root}]" if "FAULTS_KEEP" in os.environ else ""
    return {"faults": faults, "problems": [[kind, f"{told}: {what}{kept}"] for kind, what in problems]}
