"""What two runs left behind, compared bit for bit.

It knows as little as possible of the formats: weights are the tensors below a checkpoint's "model", wherever that is,
and numbers are what the rows of `metrics.jsonl` hold. The run after the change may have more than the one before.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

RENAMED = (
    ("^loss$", "train/loss"),
    ("^learning_rate$", "train/lr"),
    ("^val_loss$", "val/loss"),
    ("^bits_per_byte$", "val/bits_per_byte"),
)
"""Pattern and replacement for what has another name after the change: a file, a tensor, a number, a field of a row."""

_PARTS_OF_CHECKPOINT = ("model", "ema", "optimizer")
_NOT_COMPARED = re.compile(r"time|seconds|_per_sec|_ms$|memory|mfu")  # numbers that differ between two runs of anything
_WRITTEN_BY_ALL = ("data/train.bin", "run/ckpt_last.pt", "run/metrics.jsonl", "run/samples.jsonl")

Tensors = Mapping[str, Tensor]


@dataclass
class Comparison:
    """How much was compared, and what differs."""

    tensors: int = 0
    rows: int = 0
    samples: int = 0
    differences: list[str] = field(default_factory=list[str])
    ignored: int = 0

    def ignore(self, pattern: str) -> None:
        """Take out differences that are meant."""
        kept = [each for each in self.differences if not re.search(pattern, each)]
        self.ignored += len(self.differences) - len(kept)
        self.differences = kept

    def __str__(self) -> str:
        counts = f"{self.tensors} tensors, {self.rows} rows, {self.samples} samples"
        if not self.differences:
            ignored = f" (but for {self.ignored} differences that are ignored)" if self.ignored else ""
            return f"{counts}: same bits{ignored}"
        more = len(self.differences) - 1
        return f"{counts}: {self.differences[0]}" + (f" (and {more} more differences)" if more else "")


def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare two folders that hold prepared `data` and a `run`."""
    result = Comparison()
    for name in _WRITTEN_BY_ALL:
        if not (before / name).is_file():
            result.differences.append(f"{name}: missing before the change")
    for name in ("data/train.bin", "data/val.bin"):
        if (other := _other(before, after, name, result)) and (before / name).read_bytes() != other.read_bytes():
            result.differences.append(f"{name}: differs")
    _compare_json(before, after, result)
    for path in sorted([*before.glob("run/ckpt_*.pt"), *before.glob("run/**/*.safetensors")]):
        name = path.relative_to(before).as_posix()
        if (other := _other(before, after, name, result)) is not None:
            tensors = read_tensors(path)
            result.tensors += len(tensors)
            found = tensor_differences(tensors, read_tensors(other)) if tensors else ["no tensors were found"]
            result.differences += [f"{name}: {each}" for each in found]
    return result


def _compare_json(before: Path, after: Path, result: Comparison) -> None:
    """Compare the numbers and texts in JSON lines."""
    for name in ("run/metrics.jsonl", "run/samples.jsonl"):
        if (other := _other(before, after, name, result)) is None:
            continue
        rows, new_rows = _read_rows(before / name), _read_rows(other)
        if name == "run/metrics.jsonl":
            result.rows = len(rows)
            found = row_differences(rows, new_rows)
        else:
            result.samples = len(rows)
            found = sample_differences(rows, new_rows)
        result.differences += [f"{name}: {each}" for each in found]


def _other(before: Path, after: Path, name: str, result: Comparison) -> Path | None:
    """The file after the change; None where there was none before, or where it is missing, which is a difference."""
    path = after / _new(name)
    if not (before / name).is_file():
        return None
    if not path.is_file():
        result.differences.append(f"{_new(name)}: missing after the change")
        return None
    return path


def _new(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or those of a checkpoint that belong to weights and optimiser."""
    if path.suffix == ".safetensors":
        return load_file(path)
    values: object = torch.load(path, map_location="cpu", weights_only=True)
    found: dict[str, Tensor] = {}
    for part in _PARTS_OF_CHECKPOINT:
        found |= {f"{part}.{name}": tensor for name, tensor in _below(values, part).items()}
    return found


def _below(values: object, part: str) -> dict[str, Tensor]:
    """The tensors below the key `part`, at whatever depth that is."""
    if not isinstance(values, dict):
        return {}
    table = cast("dict[object, object]", values)
    if found := dict(_tensors(table.get(part))):
        return found
    return next((found for each in table.values() if (found := _below(each, part))), {})


def _tensors(values: object) -> Iterable[tuple[str, Tensor]]:
    """All tensors in nested tables and lists, with their names."""
    if isinstance(values, Tensor):
        yield "", values
    elif isinstance(values, dict | list | tuple):
        members = cast("dict[object, object] | list[object]", values)
        for key, value in members.items() if isinstance(members, dict) else enumerate(members):
            for name, tensor in _tensors(value):
                yield f"{key}.{name}".rstrip("."), tensor


def tensor_differences(before: Tensors, after: Tensors) -> list[str]:
    """Tensors that are missing or not the same in type, shape and every bit."""
    differences: list[str] = []
    for name, one in before.items():
        other = after.get(_new(name))
        if other is None:
            differences.append(f"{name} is missing")
        elif (one.dtype, one.shape) != (other.dtype, other.shape):
            differences.append(f"{name} was {_kind(one)} and is {_kind(other)}")
        elif not torch.equal(_bytes(one), _bytes(other)):
            most = float((one.double() - other.double()).abs().max())
            differences.append(f"{name} differs by up to {most:.3g}")
    known = {_new(name) for name in before}
    return [*differences, *(f"{name} is new" for name in after if name not in known)]


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def row_differences(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[str]:
    """Numbers of a step that are missing or not the same. How they are spread over rows does not matter."""
    one, other = _by_step(before), _by_step(after)
    differences: list[str] = []
    for (step, name), values in one.items():
        found = other.get((step, _new(name)))
        if found is None:
            differences.append(f"step {step}: {name} is missing")
        elif repr(found) != repr(values):  # so that nan is nan, and 1 is not 1.0
            differences.append(f"step {step}: {name} was {_shown(values)} and is {_shown(found)}")
    return differences


def _by_step(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], list[float]]:
    """The numbers of each step and name, in the order in which they were written."""
    numbers: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "step" and not _NOT_COMPARED.search(name):
                numbers.setdefault((row["step"], name), []).append(value)
    return numbers


def _shown(values: list[float]) -> str:
    return ", ".join(map(repr, values))


def sample_differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """Texts that are missing or not the same."""
    one = [row["text"] for row in before]
    other = [row.get(_new("text")) for row in after]
    if len(one) != len(other):
        return [f"there were {len(one)} samples and there are {len(other)}"]
    pairs = enumerate(zip(one, other, strict=True))
    return [f"sample {number} was {old!r} and is {new!r}" for number, (old, new) in pairs if old != new]
