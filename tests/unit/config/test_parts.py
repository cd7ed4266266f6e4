"""Sections of several kinds, each with options of its own."""

from pathlib import Path

import pytest

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.config.registries import OPTIMIZERS
from ml_playground.errors import ConfigError
from ml_playground.run.sinks.jsonl import JsonLinesOptions
from ml_playground.training.optimizers.muon import MuonOptions
from ml_playground.training.optimizers.sgd import SGDOptions
from ml_playground.utils.registry import Registry, use
from tests.sink_plugin import CSV

LION = """
from pydantic import Field

from ml_playground.config.registries import OPTIMIZERS
from ml_playground.config.sections import OptimConfig


@OPTIMIZERS.register("lion")
class Lion(OptimConfig):
    \"\"\"The sign of a running mean.\"\"\"

    pull: float = Field(0.9, ge=0, lt=1, description="decay of the running mean")
"""


def load(folder: Path, text: str, name: str = "config.toml") -> ExperimentConfig:
    (folder / name).write_text(text)
    return load_config(folder / name, name="mine", folder=folder)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(folder, text)
    return [line.partition("config.toml:")[2] for line in str(error.value).splitlines()]


def test_a_kind_has_its_options_and_its_defaults(tmp_path: Path) -> None:
    optim = load(tmp_path, '[train.optim]\nkind = "muon"\nmomentum = 0.5').train.optim
    assert isinstance(optim, MuonOptions)
    assert (optim.momentum, optim.muon_learning_rate, optim.learning_rate) == (0.5, 0.02, 1e-3)


def test_a_text_is_short_for_a_kind(tmp_path: Path) -> None:
    short, long = (load(tmp_path, f"[train]\n{text}") for text in ('optim = "sgd"', 'optim = {kind = "sgd"}'))
    assert short.train.optim == long.train.optim
    assert isinstance(short.train.optim, SGDOptions)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[train.optim]\nkind = "muon"\nbeta3 = 1',
            '3: [train.optim] beta3: "muon" has no option beta3 (did you mean beta2?)',
        ),
        (
            '[train.optim]\nkind = "adagrad"\nmomentum = 0.1',
            (
                '3: [train.optim] momentum: "adagrad" has no option momentum '
                '(it is an option of "muon", "sgd" and "rmsprop")'
            ),
        ),
        (
            '[train.optim]\nkind = "sdg"',
            (
                '2: [train.optim] kind: must be one of "adamw", "muon", "adam", "adagrad", "sgd", "rmsprop"; '
                'not "sdg" (did you mean sgd?)'
            ),
        ),
        (
            '[train]\nschedule = "wds"',
            (
                '2: [train.schedule] kind: must be one of "cosine", "linear", "wsd", "inverse_sqrt", "constant"; '
                'not "wds" (did you mean wsd?)'
            ),
        ),
        ('optim = "muon"', "1: optim: unknown key (it belongs in [train] optim, or [train.optim] kind)"),
        (
            '[train]\nnorm = "rmsnorm"',
            "2: [train] norm: unknown key (it belongs in [train.model] norm, or [train.model.norm] kind)",
        ),
        (
            '[prepare]\nschedule = "wsd"',
            "2: [prepare] schedule: unknown key (it belongs in [train] schedule, or [train.schedule] kind)",
        ),
        ("[train]\noptim = 5", "2: [train.optim]: must be a table, or the name of a kind, not 5"),
        ('[train.optim]\nkind = "sgd"\nmomentum = 2', "3: [train.optim] momentum: must be less than 1, not 2"),
    ],
)
def test_a_mistake_in_a_kind_has_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_a_file_that_changes_the_kind_leaves_out_what_the_other_one_has(tmp_path: Path) -> None:
    load(tmp_path, "[train.optim]\nlearning_rate = 0.5\nbeta1 = 0.8\nbeta2 = 0.7")
    sgd = load(tmp_path, 'extends = "config.toml"\ntrain.optim = "sgd"', "sgd.toml").train.optim
    assert isinstance(sgd, SGDOptions)
    assert (sgd.learning_rate, sgd.momentum) == (0.5, 0.9)
    muon = load(tmp_path, 'extends = "config.toml"\n[train.optim]\nkind = "muon"\nbeta1 = 0.6', "muon.toml").train.optim
    assert isinstance(muon, MuonOptions)
    assert (muon.beta1, muon.beta2) == (0.6, 0.7)


def test_a_mistake_beside_a_kind_that_changes_is_reported(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('extends = false\n[train.optim]\nkind = "muon"\nmomentumm = 0.9')
    with pytest.raises(ConfigError, match=r'base.toml:4: \[train.optim\] momentumm: "adamw" has no option'):
        load(tmp_path, 'extends = "base.toml"\ntrain.optim = "adamw"', "over.toml")


def test_a_part_within_a_model_changes_its_kind_with_the_model(tmp_path: Path) -> None:
    load(tmp_path, 'train.model = {kind = "llama", position = {theta = 500.0}}')

    def position(model: str) -> object:
        over = load(tmp_path, f'extends = "config.toml"\ntrain.model = {model}', "over.toml").train.model
        stated: object = over.model_dump()["position"]
        return stated

    assert position("{n_layer = 1}") == position('"qwen3"') == {"kind": "rope", "theta": 500.0}
    assert position('"gpt2"') == "learned"
    assert position('{kind = "gpt2", position = "rope"}') == {"kind": "rope", "theta": 500.0}


def test_a_file_that_keeps_the_kind_keeps_its_options(tmp_path: Path) -> None:
    load(tmp_path, '[train.optim]\nkind = "sgd"\nmomentum = 0.3')
    same = load(tmp_path, 'extends = "config.toml"\n[train.optim]\nweight_decay = 0', "same.toml").train.optim
    assert isinstance(same, SGDOptions)
    assert same.momentum == 0.3


def test_a_users_file_brings_a_part(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text(LION)
    config = load(tmp_path, 'plugins = ["lion.py"]\n[train.optim]\nkind = "lion"\npull = 0.7')
    assert config.train.optim.model_dump()["pull"] == 0.7
    assert config.resolved()["plugins"] == ["lion.py"]
    assert config.resolved()["train"]["optim"]["kind"] == "lion"
    assert problems(tmp_path, 'plugins = ["lion.py"]\n[train.optim]\nkind = "lion"\npull = 7') == [
        "4: [train.optim] pull: must be less than 1, not 7"
    ]


def test_the_files_of_a_file_that_is_extended_stay(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text(LION)
    (tmp_path / "tiger.py").write_text(LION.replace("lion", "tiger"))
    load(tmp_path, 'plugins = ["lion.py"]\ntrain.optim = "lion"')
    over = load(tmp_path, 'extends = "config.toml"\nplugins = ["tiger.py", "lion.py"]', "over.toml")
    assert over.resolved()["plugins"] == ["lion.py", "tiger.py"]
    assert over.train.optim.kind == "lion"


def test_a_configuration_finds_the_parts_of_its_own_files_only(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text(LION)
    (tmp_path / "other.py").write_text(LION.replace("0.9", "0.3"))
    one = load(tmp_path, 'plugins = ["lion.py"]\ntrain.optim = "lion"')
    assert problems(tmp_path, 'train.optim = "lion"')[0].startswith("1: [train.optim] kind: must be one of ")
    other = load(tmp_path, 'extends = false\nplugins = ["other.py"]\ntrain.optim = "lion"', "other.toml")
    assert [each.train.optim.model_dump()["pull"] for each in (one, other)] == [0.9, 0.3]
    assert OPTIMIZERS.load("lion") is type(other.train.optim)
    use(one.plugins)
    assert OPTIMIZERS.load("lion") is type(one.train.optim)
    use([])
    assert "lion" not in OPTIMIZERS


def test_two_files_with_parts_of_one_name_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text(LION)
    (tmp_path / "tiger.py").write_text(LION.replace("class Lion", "class Tiger"))
    (line,) = problems(tmp_path, 'plugins = ["lion.py", "tiger.py"]\ntrain.optim = "lion"')
    assert line.startswith("1: plugins: Tiger in ")
    assert "tiger.py and Lion in " in line
    assert line.endswith("lion.py have the same name, 'lion', among the optimizers")


def test_two_parts_of_one_name_in_one_file_are_refused(tmp_path: Path) -> None:
    again = LION.partition("@OPTIMIZERS")[2].replace("class Lion", "class Lynx")
    (tmp_path / "lion.py").write_text(f"{LION}\n\n@OPTIMIZERS{again}")
    (line,) = problems(tmp_path, 'plugins = ["lion.py"]\ntrain.optim = "lion"')
    assert "Lynx in " in line
    assert "Lion in " in line


def test_a_file_may_import_another_one_that_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text(LION)
    tiger = """
from lion import OPTIMIZERS, Lion


@OPTIMIZERS.register("tiger")
class Tiger(Lion):
    \"\"\"A larger one.\"\"\"
"""
    (tmp_path / "tiger.py").write_text(tiger)
    for files in ('"lion.py", "tiger.py"', '"tiger.py", "lion.py"'):
        optim = load(tmp_path, f"plugins = [{files}]\ntrain.optim = {{kind = 'tiger', pull = 0.5}}").train.optim
        assert optim.model_dump()["pull"] == 0.5
        assert "lion" in OPTIMIZERS


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lion.py", "there is 'adamw' among the optimizers already"),
        ("tiger.py", "is not a Python file that could be imported"),
    ],
)
def test_a_file_that_brings_no_part_has_its_line(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "lion.py").write_text(LION.replace("lion", "adamw"))
    (line,) = problems(tmp_path, f'train.optim.beta1 = 0.5\nplugins = ["{name}"]')
    assert line.startswith("2: plugins: ")
    assert line.endswith(problem)


def test_a_users_file_that_fails_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text('int("lion")')
    with pytest.raises(ValueError, match="invalid literal"):
        load(tmp_path, 'plugins = ["lion.py"]')


@pytest.mark.parametrize("name", ["$NO_SUCH_VARIABLE/lion.py", "~no_such_user/lion.py"])
def test_a_file_whose_path_cannot_be_has_its_line(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, f'plugins = ["{name}"]')
    assert line.startswith("1: plugins: ")
    assert name in line


def test_only_what_derives_from_the_base_can_be_registered() -> None:
    registry = Registry("optimizers", "ml_playground.config.sections:OptimConfig", {})
    with pytest.raises(TypeError, match="int is not a OptimConfig"):
        registry.register("integer")(int)


PLUGIN = 'plugins = ["csv_sink.py"]\n[train.runtime]\n'


@pytest.fixture
def with_sink(tmp_path: Path) -> Path:
    (tmp_path / "csv_sink.py").write_text(CSV)
    return tmp_path


def test_a_list_of_parts_takes_names_and_tables(with_sink: Path) -> None:
    text = f'{PLUGIN}sinks = ["jsonl", {{kind = "csv", file = "deep/x.csv"}}]'
    jsonl, csv = load(with_sink, text).train.runtime.sinks
    assert isinstance(jsonl, JsonLinesOptions)
    assert csv.model_dump() == {"kind": "csv", "file": with_sink / "deep" / "x.csv", "every": 1}
    resolved = load(with_sink, text).resolved()["train"]["runtime"]["sinks"]
    assert resolved == ["jsonl", {"kind": "csv", "file": "deep/x.csv", "every": 1}]


def test_a_list_of_parts_is_replaced_as_a_whole(with_sink: Path) -> None:
    load(with_sink, f'{PLUGIN}sinks = ["jsonl", {{kind = "csv", every = 2}}]')
    over = load(with_sink, 'extends = "config.toml"\ntrain.runtime.sinks = ["csv"]', "over.toml").train.runtime.sinks
    assert [each.model_dump()["every"] for each in over] == [1]


@pytest.mark.parametrize(
    ("sinks", "problem"),
    [
        (
            '["jsonl", "consol"]',
            'must be one of "console", "jsonl", "tensorboard", "csv"; not "consol" (did you mean console?)',
        ),
        ('[{kind = "csv", evry = 1}]', '"csv" has no option evry (did you mean every?)'),
        ('["jsonl", {kind = "csv", every = 0}]', 'every of "csv" must be at least 1, not 0'),
        ('[{kind = "csv", file = ""}]', 'file of "csv" must be a path in quotes, not ""'),
        ('["jsonl", "jsonl"]', 'has "jsonl" twice, with the same options'),
        ('["jsonl", {kind = "jsonl"}]', 'has "jsonl" twice, with the same options'),
        ('["csv", {kind = "csv", every = 2}, {kind = "csv", every = 2}]', 'has "csv" twice, with the same options'),
        ("[1]", "must be a table, or the name of a kind, not 1"),
        ('"csv"', 'must be a list, such as ["csv"], not "csv"'),
    ],
)
def test_a_mistake_in_a_list_of_parts_has_the_lists_line(with_sink: Path, sinks: str, problem: str) -> None:
    assert problems(with_sink, f"{PLUGIN}sinks = {sinks}") == [f"3: [train.runtime] sinks: {problem}"]
