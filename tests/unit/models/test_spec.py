"""What a configuration names as its model, and what a checkpoint makes of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_playground.config.load import load_config
from ml_playground.config.registries import MODELS
from ml_playground.config.sections import ModelOptions
from ml_playground.errors import CheckpointError
from ml_playground.finetune.spec import FineTunedSpec
from ml_playground.models.kinds import BUILT_IN, BuiltInModel, InitFrom, ModelFile
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.directory import RunDirectory

CONFIGS: dict[type[ModelSpec], str] = {
    BuiltInModel: "[train.model]\nn_layer = 2\n",
    ModelFile: '[train.model]\nfile = "mine/model.py"\n',
    InitFrom: '[train.model]\ninit_from = "mine/other"\n',
    FineTunedSpec: '[prepare]\ntokenizer = "huggingface"\n[train.hf_model]\nmodel_name = "mine/base"\n',
}


def named(tmp_path: Path, text: str) -> ModelSpec:
    folder = tmp_path / "mine"
    folder.mkdir(exist_ok=True)
    (tmp_path / "pyproject.toml").touch()
    (folder / "config.toml").write_text(text)
    config = load_config(folder / "config.toml", name="mine", folder=folder)
    return spec_of(config.train, config.file.root)


class Tokens:
    vocab_size = 7
    start_id = None

    def special_ids(self) -> set[int]:
        return set()

    def untrained_tokens(self) -> dict[int, list[int]]:
        return {6: [1, 2]}

    def token_bytes(self, token: int) -> bytes:
        return bytes([token])

    def encode(self, text: str) -> Any:
        return list(text.encode())


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_names_a_model_whose_checkpoint_is_of_the_same_kind(
    tmp_path: Path, kind: type[ModelSpec]
) -> None:
    spec = named(tmp_path, CONFIGS[kind])
    assert type(spec) is kind
    complete = spec.for_data(Tokens())
    assert complete.options["vocab_size"] == 7
    assert str(tmp_path) not in str(complete.options)  # so that no home folder leaks
    resumed, kept = complete.resume(complete.options)
    assert (type(resumed), kept) == (kind, [])
    assert resumed.options == complete.options


@pytest.mark.parametrize(("kind", "wanted"), [(ModelFile, r"\[train.model\] file"), (FineTunedSpec, "model_name")])
def test_what_a_strangers_checkpoint_needs_is_not_run_but_asked_for(
    tmp_path: Path, kind: type[ModelSpec], wanted: str
) -> None:
    options = named(tmp_path, CONFIGS[kind]).options
    with pytest.raises(CheckpointError, match=f"Name that .*{wanted}"):
        BUILT_IN.of_checkpoint(options)


@pytest.mark.parametrize("kind", [BuiltInModel, ModelFile, InitFrom])
def test_a_fine_tuned_run_is_not_resumed_as_another_nor_the_other_way_round(
    tmp_path: Path, kind: type[ModelSpec]
) -> None:
    own = named(tmp_path, CONFIGS[kind])
    tuned = named(tmp_path, CONFIGS[FineTunedSpec])
    for one, other in ((own, tuned), (tuned, own)):
        with pytest.raises(CheckpointError, match=r"ckpt_last\.pt is of another kind of model"):
            one.for_data(Tokens()).resume(other.for_data(Tokens()).options)


def test_only_adapters_are_looked_for_before_checkpoints(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    tuned = named(tmp_path, CONFIGS[FineTunedSpec])
    whole = named(tmp_path, CONFIGS[FineTunedSpec] + "[train.peft]\nenabled = false\n")
    names = [[path.name for path in spec.candidates(run)] for spec in (tuned, whole)]
    assert names[0] == ["best", "ckpt_best.pt", "last", "final", "ckpt_last.pt", "ckpt_prev.pt"]
    assert names[1] == ["ckpt_best.pt", "ckpt_last.pt", "ckpt_prev.pt"]
    assert [spec.merges for spec in (tuned, whole, BUILT_IN)] == [True, True, False]


def test_naming_a_model_needs_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "peft", "numpy")
    code = f"import sys, ml_playground.finetune.spec\nprint([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_model_of_an_unknown_kind_is_asked_for() -> None:
    options = {"kind": "bigram", "block_size": 8, "deviation": 0.1, "vocab_size": 7}
    for use in (lambda: BUILT_IN.of_checkpoint(options).restore({}), lambda: BUILT_IN.resume(options)):
        with pytest.raises(CheckpointError, match=r"of the kind 'bigram', .*name its file in 'plugins'"):
            use()


def test_a_model_of_another_kind_keeps_its_own_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS, "_registered", {})
    MODELS.register("bigram")(ModelOptions)
    spec = named(tmp_path, "[train.model]\nn_layer = 2\n").for_data(Tokens())
    saved = {"kind": "bigram", "block_size": 8, "deviation": 0.1, "vocab_size": 7}
    resumed, kept = spec.resume(saved)
    assert {change.key for change in kept} == {"[train.model] kind", "[train.model] block_size"}
    sections = resumed.stated({"model": dict(spec.options)})
    assert sections == {"model": {"kind": "bigram", "block_size": 8, "deviation": 0.1}}
    from_other = named(tmp_path, CONFIGS[InitFrom]).for_data(Tokens())
    _, kept = BuiltInModel(saved).resume(from_other.options)
    assert [change.key for change in kept] == ["[train.model] block_size"]
