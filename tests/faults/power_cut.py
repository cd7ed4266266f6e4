"""What a power cut can leave, made from the calls that a command made.

The model: what was written to a file is on the disk for sure once the file was synced. A name that was made, changed
or removed is so for sure once its folder was synced; before that the disk has the first few such changes, of all
folders in their order, as a journal has. What was written and not synced is there, or is not, or is zeros or cut short.
"""

import hashlib
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.shim import Call, Operation

Unsynced = Literal["kept", "lost", "zeros", "half"]
UNSYNCED: tuple[Unsynced, ...] = ("kept", "lost", "zeros", "half")


@dataclass
class _File:
    """A file as the process sees it, and as it was when it was last synced."""

    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""

    def after_a_cut(self, unsynced: Unsynced) -> bytes:
        now = bytes(self.now)
        if unsynced == "kept" or now == self.synced:
            return now
        if unsynced == "lost":
            return self.synced
        same = next((i for i, (one, other) in enumerate(zip(now, self.synced, strict=False)) if one != other), None)
        same = min(len(now), len(self.synced)) if same is None else same
        return now[:same] + bytes(len(now) - same) if unsynced == "zeros" else now[: (same + len(now)) // 2]


@dataclass(frozen=True)
class _Change:
    """A change of names in a folder: what it does to the names of all."""

    folder: str
    call: Call
    file: _File | None  # of one that was made


Tree = dict[str, "_File | None"]  # None is a folder


class Disk:
    """A folder as a process changes it, with what of that is on the disk for sure."""

    def __init__(self, root: Path) -> None:
        """Begin with what is at `root`, all of it on the disk."""
        self._now: Tree = {}
        for path in root.rglob("*"):
            name = path.relative_to(root).as_posix()
            data = path.read_bytes() if path.is_file() else b""
            self._now[name] = _File(bytearray(data), data) if path.is_file() else None
        self._sure: Tree = dict(self._now)
        self._pending: list[_Change] = []

    def apply(self, call: Call, root: str) -> bool:
        """Take in a call; whether it changed anything that a power cut could undo."""
        name = call.path.removeprefix(root).strip("/")
        file = self._now.get(name)
        if call.error:
            return False
        if call.operation is Operation.WRITE and file is not None:
            file.now[len(file.now) :] = bytes(max(0, call.place - len(file.now)))
            file.now[call.place : call.place + len(call.data)] = call.data
        elif call.operation is Operation.TRUNCATE and file is not None:
            file.now = file.now[: call.place].ljust(call.place, b"\0")
        elif call.operation is Operation.SYNC:
            self._sync(name, is_folder=bool(call.place))
        elif call.operation is Operation.WRITING and name in self._now:
            if not call.place or file is None:
                return False
            file.now = bytearray()
        elif call.operation in _NAMING:
            self._rename(call, root)
        else:
            return False
        return True

    def states(self, luck: random.Random, count: int) -> Iterator[tuple[str, dict[str, bytes | None]]]:
        """Some of what a cut can leave now, beginning with all kept and all lost: what it is, and the files."""
        many = len(self._pending)
        extremes: list[tuple[int, Unsynced]] = [(many, "kept"), (0, "lost"), (many, "lost"), (many, "zeros")]
        between: list[tuple[int, Unsynced]] = [(kept, unsynced) for kept in range(many + 1) for unsynced in UNSYNCED]
        chosen = extremes + luck.sample(between, min(max(0, count - 4), len(between)))
        for kept, unsynced in dict.fromkeys(chosen):
            tree = dict(self._sure)
            for change in self._pending[:kept]:
                _apply(tree, change)
            files = {name: None if file is None else file.after_a_cut(unsynced) for name, file in tree.items()}
            yield f"{kept} of {many} changes of names kept, unsynced data {unsynced}", files

    def now(self) -> dict[str, bytes | None]:
        """What the process sees."""
        return {name: None if file is None else bytes(file.now) for name, file in self._now.items()}

    def _sync(self, name: str, *, is_folder: bool) -> None:
        if not is_folder:
            if file := self._now.get(name):
                file.synced = bytes(file.now)
            return
        last = max((i for i, change in enumerate(self._pending) if change.folder == name), default=-1)
        for change in self._pending[: last + 1]:  # a journal has what came before, too
            _apply(self._sure, change)
        del self._pending[: last + 1]

    def _rename(self, call: Call, root: str) -> None:
        plain = Call(
            call.operation, 0, 0, call.path.removeprefix(root).strip("/"), call.other.removeprefix(root).strip("/"), b""
        )
        made = _File() if plain.operation is Operation.WRITING else None
        change = _Change((plain.other or plain.path).rpartition("/")[0], plain, made)
        _apply(self._now, change)
        self._pending.append(change)


_NAMING = {
    Operation.WRITING,
    Operation.RENAME,
    Operation.LINK,
    Operation.UNLINK,
    Operation.MKDIR,
    Operation.RMDIR,
}


def _apply(tree: Tree, change: _Change) -> None:
    path, other = change.call.path, change.call.other
    operation = change.call.operation
    if operation not in (Operation.WRITING, Operation.MKDIR) and path not in tree:
        return  # renamed while it was open, and taken in already
    if operation is Operation.WRITING:
        tree[path] = change.file
    elif operation is Operation.MKDIR:
        tree[path] = None
    elif operation is Operation.LINK:
        tree[other] = tree[path]
    elif operation is Operation.RENAME:
        if tree.get(other) is not None and tree.get(other) is tree.get(path):
            return  # two names of one file stay
        for name in [each for each in tree if each == path or each.startswith(f"{path}/")]:
            tree[other + name[len(path) :]] = tree.pop(name)
    else:
        tree.pop(path, None)


def write(files: dict[str, bytes | None], root: Path, before: Path) -> None:
    """Make a state again in an empty folder; what was there before the command keeps its time."""
    for name, data in sorted(files.items()):
        if data is None:
            (root / name).mkdir(parents=True, exist_ok=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
            if (before / name).is_file() and (before / name).read_bytes() == data:
                shutil.copystat(before / name, root / name)


@dataclass(frozen=True)
class State:
    """A state that a cut could leave.

    Attributes:
        what: when, and what of the unsynced is there.
        saved: how often the checkpoint to resume from had been saved for sure by then.
        files: contents by name; None is a folder.
    """

    what: str
    saved: int
    files: dict[str, bytes | None]


def states(calls: Sequence[Call], template: Path, root: str, *, each: int, seed: int) -> Iterator[State]:
    """States that a cut after each of the calls could leave, about `each` of them after one call, no two alike."""
    luck, disk = random.Random(seed), Disk(template)
    seen: set[str] = set()
    saved, waits = 0, False
    for number, call in enumerate(calls, 1):
        waits = waits or (call.operation is Operation.RENAME and call.other.endswith("/ckpt_last.pt"))
        if waits and call.operation is Operation.SYNC and call.place:
            saved, waits = saved + 1, False
        if not disk.apply(call, root):
            continue
        for what, files in disk.states(luck, each):
            key = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
            if key not in seen:
                seen.add(key)
                yield State(
                    f"after call {number} ({call.operation.name} {call.path.removeprefix(root)}), {what}", saved, files
                )


def last_state(calls: Sequence[Call], template: Path, root: str) -> dict[str, bytes | None]:
    """What the model takes to be there after all calls."""
    disk = Disk(template)
    for call in calls:
        disk.apply(call, root)
    return disk.now()
