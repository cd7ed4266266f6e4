"""Names from elsewhere lead to options and choices that there are."""

import re
from pathlib import Path
from typing import get_args

import pytest

from ml_playground.config.experiment import all_option_fields
from ml_playground.config.load import load_config
from ml_playground.config.registries import MLPS, NORMS, OPTIMIZERS, POSITIONS, SCHEDULES, SOURCES, SPLITS, TOKENIZERS
from ml_playground.config.synonyms import CHOICES, OPTIONS
from ml_playground.errors import ConfigError

OURS = {f"[{'.'.join(key[:-1])}] {key[-1]}": field for key, _, field in all_option_fields()}
PARTS = {f"[{'.'.join(key[:-2])}] {key[-2]}": field for key, _, field in all_option_fields() if key[-1] == "kind"}
NAMES = {key[-1] for key, _, _ in all_option_fields()}
ALL_CHOICES = {
    choice
    for field in OURS.values()
    for part in (field.annotation, *get_args(field.annotation))
    for choice in get_args(part) or get_args(field.annotation)
    if isinstance(choice, str)
} | {*OPTIMIZERS, *SCHEDULES, *POSITIONS, *NORMS, *MLPS, *SOURCES, *TOKENIZERS, *SPLITS}


def problem(folder: Path, text: str) -> str:
    (folder / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(folder / "config.toml", name="mine", folder=folder)
    return str(error.value)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_led_to_one_of_ours(tmp_path: Path, name: str) -> None:
    assert name not in NAMES - {"context", "documents"}  # [evaluate] and [report] have them, in a sense of their own
    for named in re.findall(r"\[[a-z_.]+\] [a-z0-9_]+", OPTIONS[name]):
        assert named in OURS or named in PARTS
    for table in ("train.model", "train", "sample.sample"):
        assert f"{name}: unknown key (here it is {OPTIONS[name]})" in problem(tmp_path, f"[{table}]\n{name} = 1")


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_led_to_one_of_ours(name: str) -> None:
    assert set(CHOICES[name]) <= ALL_CHOICES


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ('train.runtime.device = "gpu"', "cuda"),
        ('train.runtime.device = "GPU"', "cuda"),
        ('sample.runtime.dtype = "bf16"', "bfloat16"),
        ('train.runtime.dtype = "half"', "float16"),
        ('export.gguf.dtype = "fp16"', "f16"),
        ('train.model.position = "rotary"', "rope"),
        ('train.model.norm = "rms_norm"', "rmsnorm"),
        ('train.data.sampler = "sequentiel"', "sequential"),
    ],
)
def test_the_choice_that_is_meant_is_named(tmp_path: Path, stated: str, meant: str) -> None:
    assert problem(tmp_path, stated).endswith(f"(did you mean {meant}?)")


@pytest.mark.parametrize(
    ("section", "meant"),
    [("model", "[train.model]"), ("optim", "[train.optim]"), ("runtime", "[train.runtime] or [sample.runtime]")],
)
def test_a_section_of_a_section_is_named(tmp_path: Path, section: str, meant: str) -> None:
    assert problem(tmp_path, f"[{section}]\nx = 1").endswith(f"unknown section (did you mean {meant}?)")
