"""What two runs left behind, compared bit for bit.

It knows as little as possible of the formats: weights are the tensors below a checkpoint's "model", wherever that is,
and numbers are what the rows of `metrics.jsonl` hold, of which there may be more after the change.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

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


class Difference(NamedTuple):
    """What differs, in a file or in all; of tensors, by how much at most."""

    text: str
    by: float = 0.0
    file: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass
class Comparison:
    """How much was compared, and what differs."""

    tensors: int = 0
    rows: int = 0
    samples: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])
    ignored: int = 0

    def add(self, file: str, found: Iterable[Difference]) -> None:
        """Take in what differs in a file."""
        self.differences += [each._replace(file=file) for each in found]

    def ignore(self, pattern: str) -> None:
        """Take out differences that are meant."""
        kept = [each for each in self.differences if not re.search(pattern, str(each))]
        self.ignored += len(self.differences) - len(kept)
        self.differences = kept

    def __str__(self) -> str:
        counts = f"{self.tensors} tensors, {self.rows} rows, {self.samples} samples"
        if not self.differences:
            ignored = f" (but for {self.ignored} differences that are ignored)" if self.ignored else ""
            return f"{counts}: same bits{ignored}"
        first, most = self.differences[0], max(self.differences, key=lambda each: each.by)
        more = f" and {len(self.differences) - 1} more" if len(self.differences) > 1 else ""
        return f"{counts}: {first}{more}" + (f"; most in {most}" if most.by and most != first else "")


def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare two folders that hold prepared `data` and a `run`."""
    result = Comparison()
    for name in _WRITTEN_BY_ALL:
        if not (before / name).is_file():
            result.add(name, [Difference("missing before the change")])
    for name in ("data/train.bin", "data/val.bin"):
        if (other := _other(before, after, name, result)) and (before / name).read_bytes() != other.read_bytes():
            result.add(name, [Difference("differs")])
    _compare_json(before, after, result)
    for path in sorted([*before.glob("run/ckpt_*.pt"), *before.glob("run/**/*.safetensors")]):
        name = path.relative_to(before).as_posix()
        if (other := _other(before, after, name, result)) is not None:
            tensors = read_tensors(path)
            result.tensors += len(tensors)
            result.add(name, tensor_differences(tensors, read_tensors(other)))
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
        result.add(name, found)


def _other(before: Path, after: Path, name: str, result: Comparison) -> Path | None:
    """The file after the change; None where there was none before, or where it is missing, which is a difference."""
    path = after / _new(name)
    if not (before / name).is_file():
        return None
    if not path.is_file():
        result.add(_new(name), [Difference("missing after the change")])
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


def tensor_differences(before: Tensors, after: Tensors) -> list[Difference]:
    """Tensors that are missing or not the same in type, shape and every bit. None at all are a difference too."""
    if not before:
        return [Difference("no tensors before the change")]
    differences: list[Difference] = []
    for name, one in before.items():
        other = after.get(_new(name))
        if other is None:
            differences.append(Difference(f"{name} is missing"))
        elif (one.dtype, one.shape) != (other.dtype, other.shape):
            differences.append(Difference(f"{name} was {_kind(one)} and is {_kind(other)}"))
        elif not torch.equal(_bytes(one), _bytes(other)):
            most = float((one.double() - other.double()).abs().max())
            by = math.inf if math.isnan(most) else most
            differences.append(Difference(f"{name} differs by up to {most:.3g}", by))
    known = {_new(name) for name in before}
    return differences + [Difference(f"{name} is new") for name in after if name not in known]


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def row_differences(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Numbers of a step that are missing or not the same. How they are spread over rows does not matter."""
    one, other = _by_step(before), _by_step(after)
    differences: list[Difference] = []
    for (step, name), values in one.items():
        found = other.get((step, _new(name)))
        if found is None:
            differences.append(Difference(f"step {step}: {name} is missing"))
        elif repr(found) != repr(values):  # so that nan is nan, and 1 is not 1.0
            differences.append(Difference(f"step {step}: {name} was {_shown(values)} and is {_shown(found)}"))
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


def sample_differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[Difference]:
    """Texts that are missing or not the same."""
    one = [row["text"] for row in before]
    other = [row.get(_new("text")) for row in after]
    if len(one) != len(other):
        return [Difference(f"there were {len(one)} samples and there are {len(other)}")]
    pairs = enumerate(zip(one, other, strict=True))
    return [Difference(f"sample {n} was {old!r} and is {new!r}") for n, (old, new) in pairs if old != new]
