"""What tools/same_bits.py finds to be different, and how it spells configurations for earlier versions."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tools.bits.compare import Comparison, Difference, compare_runs, read_tensors, row_differences, tensor_differences
from tools.bits.configurations import read_configurations, spellings

ROWS = [{"step": 2, "train/loss": 1.5, "train/tokens_per_sec": 100.0}, {"step": 2, "val/loss": 1.25}]


def write_run(folder: Path, weight: Tensor, rows: list[dict[str, Any]] = ROWS, text: str = " cat") -> Path:
    (folder / "run" / "adapters" / "best").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "train.bin").write_bytes(b"\1\0\2\0")
    state = {"state": {0: {"exp_avg": weight}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"format": 4, "model": {"head": weight}, "ema": None, "optimizer": state}, folder / "run/ckpt_last.pt")
    save_file({"lora": weight}, folder / "run" / "adapters" / "best" / "adapter_model.safetensors")
    (folder / "run" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run" / "samples.jsonl").write_text(json.dumps({"prompt": "the", "text": text}) + "\n")
    return folder


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return write_run(tmp_path / "before", torch.arange(3.0))


def differences(before: Path, after: Path) -> list[str]:
    return [str(each) for each in compare_runs(before, after).differences]


def test_the_same_bits_are_the_same(before: Path, tmp_path: Path) -> None:
    rows = [{**ROWS[0], **ROWS[1], "train/tokens_per_sec": 7.0, "train/grad_norm": 1.0}]  # one row, and more in it
    found = compare_runs(before, write_run(tmp_path / "after", torch.arange(3.0), rows))
    assert str(found) == "3 tensors, 2 rows, 1 samples: same bits"


def test_each_kind_of_result_is_compared(before: Path, tmp_path: Path) -> None:
    after = write_run(tmp_path / "after", torch.tensor([0.0, 1.0, 2.5]), [{**ROWS[0], "train/loss": 1.6}], " dog")
    (after / "data" / "train.bin").write_bytes(b"\1\0\3\0")
    assert differences(before, after) == [
        "data/train.bin: differs",
        "run/metrics.jsonl: step 2: train/loss was 1.5 and is 1.6",
        "run/metrics.jsonl: step 2: val/loss is missing",
        "run/samples.jsonl: sample 0 was ' cat' and is ' dog'",
        "run/adapters/best/adapter_model.safetensors: lora differs by up to 0.5",
        "run/ckpt_last.pt: model.head differs by up to 0.5",
        "run/ckpt_last.pt: optimizer.state.0.exp_avg differs by up to 0.5",
    ]


@pytest.mark.parametrize("name", ["data/train.bin", "run/ckpt_last.pt", "run/metrics.jsonl", "run/samples.jsonl"])
def test_a_missing_file_is_a_difference(before: Path, tmp_path: Path, name: str) -> None:
    after = write_run(tmp_path / "after", torch.arange(3.0))
    (after / name).unlink()
    assert differences(before, after) == [f"{name}: missing after the change"]


def test_the_first_difference_and_the_largest_are_shown() -> None:
    found = Comparison(tensors=2)
    found.add("run/a.pt", [Difference("head is missing"), Difference("x differs by up to 0.1", 0.1)])
    found.add("run/b.pt", [Difference("y differs by up to 0.2", 0.2)])
    assert str(found).endswith(": run/a.pt: head is missing and 2 more; most in run/b.pt: y differs by up to 0.2")


def test_nothing_is_not_the_same_as_nothing(tmp_path: Path) -> None:
    assert "run/ckpt_last.pt: missing before the change" in differences(tmp_path, tmp_path)


def test_differences_that_are_meant_can_be_ignored(before: Path, tmp_path: Path) -> None:
    found = compare_runs(before, write_run(tmp_path / "after", torch.arange(3.0), text=" dog"))
    found.ignore("val/loss")
    assert len(found.differences) == 1
    found.ignore("samples")
    assert str(found).endswith(": same bits (but for 1 differences that are ignored)")


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (torch.tensor([1.0, math.nan]), None),
        (torch.tensor([1.0, 2.0]), "weight differs by up to nan"),
        (torch.tensor([1.0, math.nan], dtype=torch.float64), "weight was float32 (2,) and is float64 (2,)"),
        (torch.tensor([[1.0, math.nan]]), "weight was float32 (2,) and is float32 (1, 2)"),
    ],
)
def test_tensors_differ_in_type_shape_and_bits(other: Tensor, problem: str | None) -> None:
    found = tensor_differences({"weight": torch.tensor([1.0, math.nan])}, {"weight": other})
    assert [each.text for each in found] == ([] if problem is None else [problem])


def test_minus_zero_is_not_zero_and_no_tensor_comes_or_goes_unseen() -> None:
    (found,) = tensor_differences({"a": torch.tensor(0.0)}, {"a": torch.tensor(-0.0)})
    assert found.text == "a differs by up to 0"
    both = tensor_differences({"a": torch.ones(1)}, {"b": torch.ones(1)})
    assert [each.text for each in both] == ["a is missing", "b is new"]
    assert tensor_differences({}, {})


def test_weights_are_found_at_any_depth_of_a_checkpoint(tmp_path: Path) -> None:
    config = {"train": {"model": {"kind": "gpt2"}}}
    torch.save({"config": config, "state": {"model": {"head": torch.ones(1)}}}, tmp_path / "ckpt.pt")
    assert list(read_tensors(tmp_path / "ckpt.pt")) == ["model.head"]


def test_numbers_may_have_had_another_name() -> None:
    assert row_differences([{"step": 1, "val_loss": 2.0}], [{"step": 1, "val/loss": 2.0}]) == []


def test_configurations_are_spelt_as_each_earlier_version_did() -> None:
    options = {"optim.kind": "sgd", "source.kind": "lines", "seed": 1}
    earlier = [("source.kind = 'lines'", "documents = 'lines'"), ("optim.kind", "optim"), ("theta", "rope_theta")]
    assert spellings(options, earlier) == [
        options,
        {"optim.kind": "sgd", "documents": "lines", "seed": 1},
        {"optim": "sgd", "documents": "lines", "seed": 1},
    ]


def test_a_configuration_is_complete_and_knows_its_places() -> None:
    configurations, _ = read_configurations()
    resumed = configurations["muon"]
    steps = resumed.steps(resumed.options, {"inputs": "/i", "runs": "/r", "run": "/r/muon"})
    assert [verb for verb, _ in steps] == ["prepare", "train", "train", "sample", "sample"]
    first, last = (tomllib.loads(steps[index][1])["train"]["runtime"] for index in (1, 2))
    assert (first["max_iters"], last["max_iters"]) == (5, 12)
    assert last["out_dir"] == "/r/muon/run"
