"""Checkpoints whose weights or model arguments are not what they should be: one message."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ml_playground.errors import CheckpointError, DamagedCheckpointError, OutOfMemoryError
from ml_playground.finetune.spec import FineTunedSpec
from ml_playground.models.build import build_model, load_weights, restore_model
from ml_playground.models.kinds import BUILT_IN
from ml_playground.models.spec import ModelSpec
from ml_playground.runtime import memory_errors_explained

ARGS: dict[str, Any] = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 4, "vocab_size": 10}
NAME = "transformer.h.0.attn.c_attn.weight"
BAD_VALUES: dict[str, Callable[[Tensor], Any]] = {
    "whole numbers": lambda value: value.long(),
    "booleans": lambda value: value.bool(),
    "complex": lambda value: value.to(torch.complex64),
    "sparse": lambda value: value.to_sparse(),
    "compressed": lambda value: value.to_sparse_csr(),
    "meta": lambda value: value.to("meta"),
    "quantized": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "text": lambda _: "x",
    "nothing": lambda _: None,
    "numbers": lambda value: value.tolist(),
    "a scalar": lambda value: value.sum(),
    "transposed": lambda value: value.T,
    "empty": lambda value: value[:0],
}


@pytest.mark.filterwarnings("ignore")  # torch warns of kinds of tensors that it is going to drop
@pytest.mark.parametrize("name", BAD_VALUES)
def test_weights_that_do_not_belong(name: str) -> None:
    model = build_model(ARGS)
    state = {**model.state_dict()}
    before = {key: value.clone() for key, value in state.items()}
    with pytest.raises(CheckpointError, match=r"checkpoint's weights (are unusable|do not fit)"):
        load_weights(model, {**before, NAME: BAD_VALUES[name](before[NAME])})


@pytest.mark.parametrize("weights", [None, 3, "x", [1], {3: torch.zeros(1)}, {}, {"more": torch.zeros(1)}])
def test_no_weights(weights: Any) -> None:
    with pytest.raises(CheckpointError):
        restore_model(ARGS, weights)


def test_weights_in_fewer_bits_are_taken() -> None:
    model = build_model(ARGS)
    load_weights(build_model(ARGS), {name: value.bfloat16() for name, value in model.state_dict().items()})


def test_weights_of_no_use_let_the_next_checkpoint_be_taken() -> None:
    with pytest.raises(DamagedCheckpointError):
        load_weights(build_model(ARGS), {NAME: torch.zeros(24, 8, dtype=torch.int64)})


BAD_ARGS: list[Any] = [
    {"vocab_size": None},
    {"vocab_size": "x"},
    {"vocab_size": 0},
    {"vocab_size": -3},
    {"vocab_size": 1e300},
    {"vocab_size": [1]},
    {"n_layer": 10**6},
    {"n_embd": -1},
    {"n_embd": 7},
    {"n_embd": 1.5},
    {"n_head": "x"},
    {"n_head": [4]},
    {"kind": ["gpt2"]},
    {"kind": {}},
    {"dropout": float("nan")},
    {"options": 3},
    {"file": 3},
    {"file": ["model.py"]},
    {"hf_model": 3},
    {"hf_model": {}},
    {"hf_model": {"model_name": [1]}},
    {"unknown": 1},
    {1: 2},
]


@pytest.mark.parametrize("changes", BAD_ARGS, ids=str)
@pytest.mark.parametrize("named", [BUILT_IN, FineTunedSpec({}, "/nowhere", None)], ids=["built-in", "fine-tuned"])
def test_arguments_that_do_not_belong(changes: Any, named: ModelSpec) -> None:
    with pytest.raises(CheckpointError):
        named.of_checkpoint({**ARGS, **changes}).build()


@pytest.mark.parametrize("args", [None, 3, "x", []])
def test_no_arguments(args: Any) -> None:
    with pytest.raises(CheckpointError):
        build_model(args)
    with pytest.raises(CheckpointError):
        BUILT_IN.of_checkpoint(args)


@pytest.mark.parametrize("changes", [{"vocab_size": 2**62}, {"vocab_size": 2**70}, {"vocab_size": 2**45}])
def test_sizes_beyond_all_memory(changes: dict[str, int]) -> None:
    with pytest.raises(OutOfMemoryError), memory_errors_explained():
        build_model({**ARGS, **changes})


FINE_TUNED: dict[str, Any] = {
    "hf_model": {"model_name": "x", "block_size": 4, "dtype": "float32"},
    "peft": {},
    "block_size": 4,
    "vocab_size": 10,
    "new_tokens": {},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"peft": 3},
        {"peft": {"r": "x"}},
        {"block_size": "x"},
        {"block_size": None},
        {"vocab_size": -1},
        {"new_tokens": 3},
        {"new_tokens": {"x": [1]}},
        {"new_tokens": {3: []}},
        {"new_tokens": {3: [-1]}},
        {"hf_model": {"dtype": "int3"}},
    ],
    ids=str,
)
def test_arguments_of_a_fine_tuned_model_that_do_not_belong(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="no fine-tuned model can be built from these arguments"):
        FineTunedSpec({**FINE_TUNED, **changes}, str(tmp_path), None).build()
