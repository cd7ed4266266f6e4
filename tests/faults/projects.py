"""The projects that trials are made on, and what must be the same after every trial."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tests.faults.commands import command
from tests.project import Project

Kind = Literal["builtin", "tuned"]
STEPS = 8
HALF = 4  # steps that a run in the middle has done

_TIMES = {"time", "seconds", "starts", "train/tokens_per_sec", "train/step_time_ms", "tokens_per_sec", "step_time_ms"}
# Not compared: what bears a time in its name, checksums of files that are compared, and what was put aside on purpose.
_ELSEWHERE = re.compile(
    r"\.lock$|/logs/|/samples|/checksums\.json$|/metrics-\d+\.jsonl$|/ckpt_(damaged|diverged)[^/]*\.pt$"
)
_HERE = re.compile(rb'/[^" ]*/trial-[^/" ]*/p(?=[/" ])')  # the absolute path of a project
_OPTIONS = {
    "train.runtime.max_iters": str(STEPS),
    "train.runtime.ckpt_time_interval_minutes": "0",
    "sample.sample.num_samples": "1",
}
_BUILTIN = {
    "train.runtime.eval_interval": "2",
    "train.model.dropout": "0.2",
    "train.runtime.ema_decay": "0.9",
    "train.runtime.always_save_checkpoint": "true",
    "train.runtime.keep_last_n": "2",
    "sample.sample.start": '"the"',
}
_TUNED = {
    "train.runtime.eval_interval": "4",
    "train.runtime.save_merged_on_best": "true",
    "export.gguf.enabled": "false",
}
SAVED_AT = {"builtin": [0, 2, 4, 6, 8], "tuned": [0, 4, 8]}  # steps after which ckpt_last.pt is written


def create(root: Path, kind: Kind) -> Project:
    """A project in which nothing has been done yet."""
    root.mkdir()
    project = Project(root)
    if kind == "tuned":
        from tests.integration.finetuning import fine_tuning

        fine_tuning(project, "qwen2")
    project.configure({**_OPTIONS, **(_BUILTIN if kind == "builtin" else _TUNED)})
    return project


def make(root: Path, kind: Kind, verbs: Iterable[str], **options: str) -> Project:
    """A project in which the commands `verbs` have been run, with some options of `[train.runtime]` set meanwhile."""
    project = create(root, kind)
    whole = project.config.read_text()
    project.configure({f"train.runtime.{name}": value for name, value in options.items()})
    for verb in verbs:
        ended = command(root, verb)
        assert ended.code == 0, ended.said
    project.config.write_text(whole)
    return project


def copy(template: Path, to: Path) -> Path:
    """A copy to try something on."""
    shutil.copytree(template, to, symlinks=True)
    return to


def state(root: Path) -> dict[str, str]:
    """What is in a project, as a digest for each file: two that are alike were made with the same bits.

    Times, the logs for TensorBoard and what was put aside on purpose are left out.
    """
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: _digest(path) for name, path in sorted(found.items()) if counts(path, root)}


def counts(path: Path, root: Path) -> bool:
    """Whether a file of the project at `root` is one of those that must be right."""
    name = path.relative_to(root).as_posix()
    return "__pycache__" not in path.parts and not _ELSEWHERE.search(name)


def _digest(path: Path) -> str:
    data = _HERE.sub(b"HERE", path.read_bytes())
    try:
        if path.suffix == ".pt":
            data = repr(_plain(_checkpoint(path))).encode()
        elif path.suffix == ".json":
            data = repr(_plain(json.loads(data))).encode()
        elif path.suffix == ".jsonl":
            data = repr([_plain(json.loads(line)) for line in data.splitlines()]).encode()
    except Exception as error:
        return f"unreadable: {type(error).__name__}: {error}"
    return hashlib.sha256(data).hexdigest()[:16]


def _checkpoint(path: Path) -> Any:
    from ml_playground.run.checkpoint import load

    checkpoint = load(path)
    return [
        checkpoint.model,
        checkpoint.ema,
        checkpoint.optimizer,
        asdict(checkpoint.progress),
        checkpoint.origin.model_args,
    ]


def _plain(value: Any) -> Any:
    """The value without times, its tensors as digests."""
    import torch

    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()[:16]
    if isinstance(value, dict):
        return {
            str(key): _plain(each)
            for key, each in sorted(value.items(), key=lambda item: str(item[0]))
            if key not in _TIMES
        }
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Names of files that differ, are missing, or should not be there."""
    missing = [f"{name} is missing" for name in expected if name not in found]
    strange = [f"{name} is left over" for name in found if name not in expected]
    other = [
        f"{name} differs{f' ({found[name]})' if found[name].startswith('unreadable') else ''}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    return missing + strange + other
