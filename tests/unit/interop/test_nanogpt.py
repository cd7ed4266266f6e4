"""`nanogpt_run/` holds what nanoGPT itself wrote: the checkpoint of a tiny model after ten steps, and its meta.pkl."""

import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ml_playground.config.sections import SamplingConfig
from ml_playground.errors import CheckpointError
from ml_playground.inference.generate import generate, split_streams
from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.interop.nanogpt import nanogpt_tokenizer
from ml_playground.run import sealed
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import resolve


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    shutil.copytree(Path(__file__).with_name("nanogpt_run"), tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def greedy(trained: TrainedModel, prompt: str, count: int) -> str:
    wanted = SamplingConfig.model_validate({"temperature": 0.0, "max_new_tokens": count})
    ids = trained.tokenizer.encode(prompt).tolist()
    runtime = resolve("cpu", "float32")
    (made,) = split_streams(
        generate(trained.model.eval(), ids, trained.tokenizer, wanted, runtime=runtime, seeds=[0]), 1
    )
    return trained.tokenizer.decode(made)


def test_a_checkpoint_of_nanogpt_says_what_nanogpt_says(run: RunDirectory) -> None:
    trained = load_trained(run)
    assert trained.step == 10
    assert trained.val_loss == pytest.approx(4.1693, abs=1e-4)
    assert greedy(trained, "ROMEO:", 24) == "$$NNNNNNNNNNNNNNNNNNNNNN"


def test_names_that_compiling_changed_and_masks_of_old_versions_do_no_harm(run: RunDirectory) -> None:
    values, _ = sealed.read(run.nanogpt_checkpoint)
    values["model"] = {f"_orig_mod.{name}": tensor for name, tensor in values["model"].items()}
    values["model"]["_orig_mod.transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
    torch.save(values, run.nanogpt_checkpoint)
    assert greedy(load_trained(run), "ROMEO:", 3) == "$$N"


def test_a_missing_vocabulary_is_asked_for(run: RunDirectory) -> None:
    run.nanogpt_vocabulary.unlink()
    with pytest.raises(CheckpointError, match=r"meta\.pkl is missing: .*vocabulary of 65. Copy nanoGPT's"):
        load_trained(run)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_a_vocabulary_with_code_in_it_is_refused_and_not_run(run: RunDirectory, tmp_path: Path) -> None:
    run.nanogpt_vocabulary.write_bytes(pickle.dumps({"itos": {0: Trap(tmp_path / "trapped")}}))
    with pytest.raises(CheckpointError, match=r"it names .*open, which could run code"):
        load_trained(run)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1]),
        pickle.dumps({"stoi": {}}),
        pickle.dumps({"itos": {}}),
        pickle.dumps({"itos": {0: "ab"}}),
        pickle.dumps({"itos": {0: "\ud800"}}),
        pickle.dumps({"itos": {0: "a", 1: "a"}}),
        pickle.dumps({"itos": {0: 5}}),
        pickle.dumps({"itos": "ab"[:1] * 0}),
        pickle.dumps({"itos": {(0,): "a"}}),  # nothing but names and numbers: deep tuples cannot be hashed
        b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
        b"}r\xff\xff\xff\xff.",  # a place in memory for which Python would reserve 64 GB
        b"}p999999999999\n.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
        b"X\xff\xff\xff\x7fx.",
        b"\x80\x04}(\x8c\x04itosKcs.",
        b"h\x05.",
        b"}b.",
        b"I99999999999999999999x\n.",
        b"P1\n.",
    ],
)
def test_another_file_is_no_vocabulary(run: RunDirectory, content: bytes) -> None:
    run.nanogpt_vocabulary.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"meta\.pkl: not a vocabulary of nanoGPT"):
        load_trained(run)


def test_a_vocabulary_of_other_data_is_refused(run: RunDirectory) -> None:
    characters = {index: chr(97 + index) for index in range(20)}
    run.nanogpt_vocabulary.write_bytes(pickle.dumps({"itos": characters}))
    with pytest.raises(CheckpointError, match=r"meta\.pkl has 20 characters, but the checkpoint's model 65"):
        load_trained(run)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_file_is_no_vocabulary(run: RunDirectory, make: Callable[[Path], None]) -> None:
    run.nanogpt_vocabulary.unlink()
    make(run.nanogpt_vocabulary)
    with pytest.raises(CheckpointError, match="it is not a file"):
        load_trained(run)


def test_any_damage_of_a_vocabulary_is_one_message(tmp_path: Path) -> None:
    """Bytes that are changed, lost or added: what comes out is a vocabulary or a message."""
    whole = Path(__file__).with_name("nanogpt_run").joinpath("meta.pkl").read_bytes()
    values = pickle.loads(whole)
    path, chance = tmp_path / "meta.pkl", random.Random(1)
    refused = 0
    for number in range(600):
        damaged = bytearray(pickle.dumps(values, protocol=number % 6))
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.choice((0, 1, 1, 9))] = chance.randbytes(chance.choice((0, 1, 1, 5)))
        path.write_bytes(damaged)
        try:
            nanogpt_tokenizer(path, 65)
        except CheckpointError:
            refused += 1
    assert refused > 400


@pytest.mark.parametrize("missing", ["model", "model_args", "iter_num"])
def test_another_file_is_no_checkpoint_of_nanogpt(run: RunDirectory, missing: str) -> None:
    values, _ = sealed.read(run.nanogpt_checkpoint)
    del values[missing]
    torch.save(values, run.nanogpt_checkpoint)
    with pytest.raises(CheckpointError, match=r"ckpt\.pt: not a checkpoint of nanoGPT"):
        load_trained(run)


def test_weights_that_do_not_fit_the_arguments_are_refused(run: RunDirectory) -> None:
    values, _ = sealed.read(run.nanogpt_checkpoint)
    values["model_args"]["n_layer"] = 2
    torch.save(values, run.nanogpt_checkpoint)
    with pytest.raises(CheckpointError, match="weights do not fit its model arguments"):
        load_trained(run)


def test_nothing_to_sample_from_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint \(ckpt_best.pt, ckpt_last.pt or ckpt.pt\). Run 'train'"):
        load_trained(RunDirectory(tmp_path))
