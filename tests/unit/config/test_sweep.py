"""The arms of a sweep: what they are called, what they change, and what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest

from ml_playground.config.load import load_config
from ml_playground.config.sweep import Arm, Sweep
from ml_playground.errors import ConfigError

SEEDS = "[sweep]\nseeds = [1, 2]\n"


class Folder:
    """A folder of TOML files that stands for an experiment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str, name: str = "config.toml") -> Path:
        path = self.path / name
        path.write_text(text)
        return path

    def sweep(self, text: str, name: str = "config.toml") -> Sweep:
        path = self.write(text, name)
        load_config(path, name="mine", folder=self.path)
        return Sweep(path, name="mine", folder=self.path)

    def arms(self, text: str) -> dict[str, Arm]:
        return {arm.name: arm for arm in self.sweep(text).arms}

    def problems(self, text: str, name: str = "config.toml") -> list[str]:
        with pytest.raises(ConfigError) as error:
            self.sweep(text, name)
        return error.value.problems


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def test_a_file_without_a_sweep_has_no_seeds_and_a_run_knows_nothing_of_a_sweep(folder: Folder) -> None:
    assert load_config(folder.write(""), name="mine", folder=folder.path).sweep.seeds == []
    assert "sweep" not in folder.sweep(SEEDS).base.resolved()


def test_the_base_is_an_arm_without_changes(folder: Folder) -> None:
    (base,) = folder.sweep(SEEDS).arms
    assert (base.name, base.overrides, base.point) == ("base", {}, {})


def test_an_arm_is_laid_over_what_the_file_states_key_by_key(folder: Folder) -> None:
    text = "[train.optim]\nkind = 'muon'\nmuon_learning_rate = 0.5\nlearning_rate = 0.25\n" + SEEDS
    sweep = folder.sweep(
        text + '[sweep.arms]\nsgd = { train.optim = "sgd" }\nslow = { train.optim.learning_rate = 0.1 }'
    )
    base, sgd, slow = (sweep.config(arm).train.optim.model_dump() for arm in sweep.arms)
    assert (sgd["kind"], sgd["learning_rate"]) == ("sgd", 0.25)
    assert slow == {**base, "learning_rate": 0.1, "embedding_learning_rate": 0.1}


def test_what_a_default_follows_follows_in_an_arm_too(folder: Folder) -> None:
    sweep = folder.sweep(SEEDS + "[sweep.arms]\nlong = { train.data.block_size = 7, train.runtime.max_iters = 9 }")
    config = sweep.config(sweep.arms[1])
    assert config.train.model.block_size == 7
    assert config.train.schedule.model_dump()["lr_decay_iters"] == 9


def test_a_grid_is_a_product_whose_points_are_named_after_their_values(folder: Folder) -> None:
    grid = '[sweep.grid]\n"train.optim.learning_rate" = [1e-3, 0.5]\n"train.data.batch_size" = [3, 12]\n'
    arms = folder.arms(SEEDS + grid)
    assert list(arms) == ["base", "learning_rate=0.001,batch_size=3", "learning_rate=0.5,batch_size=3",
                          "learning_rate=0.5,batch_size=12"]  # fmt: skip
    assert arms["learning_rate=0.5,batch_size=3"].overrides == {
        "train": {"optim": {"learning_rate": 0.5}, "data": {"batch_size": 3}}
    }


def test_the_point_of_the_grid_that_is_the_base_is_not_trained_twice(folder: Folder) -> None:
    arms = folder.arms(SEEDS + '[sweep.grid]\n"train.optim.learning_rate" = [1e-3, 0.5]')
    assert list(arms) == ["base", "learning_rate=0.5"]
    assert arms["base"].point == {"train.optim.learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("train.optim", '["sgd", "adam"]', ["optim=sgd", "optim=adam"]),
        ("train.model.bias", "[true]", ["bias=true"]),
        ("prepare.doc_separator", '["<a>", "[a]"]', ["doc_separator=a", "doc_separator=a-2"]),
        ("train.optim", '[{ kind = "sgd", momentum = 0.5 }]', ["optim=sgd-momentum-0.5"]),
    ],
)
def test_any_value_makes_a_name_that_a_folder_can_have(folder: Folder, key: str, values: str, names: list[str]) -> None:
    base = (
        '[prepare]\nsource = "files"\n[prepare.tokenizer]\nkind = "huggingface"\nmodel = "m"\n' if "doc" in key else ""
    )
    assert list(folder.arms(base + SEEDS + f'[sweep.grid]\n"{key}" = {values}'))[1:] == names


def test_keys_of_a_grid_that_end_alike_are_told_apart(folder: Folder) -> None:
    text = SEEDS + '[sweep.grid]\n"train.model.block_size" = [128]\n"train.data.block_size" = [32]'
    assert list(folder.arms(text)) == ["base", "model.block_size=128,data.block_size=32"]


def test_paths_in_an_arm_count_from_the_project_root(folder: Folder) -> None:
    (folder.path / "pyproject.toml").touch()
    (folder.path / "sub").mkdir()
    path = folder.write(
        'extends = "../config.toml"\n' + SEEDS + '[sweep.arms]\na = { prepare.raw_dir = "x" }', "sub/s.toml"
    )
    folder.write("")
    sweep = Sweep(path, name="mine", folder=folder.path)
    assert sweep.config(sweep.arms[1]).prepare.raw_dir == folder.path / "x"
    assert sweep.folder == folder.path / "out" / "s"


def test_a_sweep_goes_to_the_folder_of_its_file_unless_that_states_one(folder: Folder) -> None:
    folder.write('[train.runtime]\nout_dir = "of_the_base"')
    assert folder.sweep('extends = "config.toml"\n' + SEEDS, "s.toml").folder == folder.path / "out" / "s"
    stated = 'extends = "config.toml"\n[train.runtime]\nout_dir = "here"\n' + SEEDS
    assert folder.sweep(stated, "s.toml").folder == folder.path / "here"


MISTAKES = """\
[sweep]
seeds = [1, 2]
match = "flops"
[sweep.arms]
typo = { train.optim.kind = "moun" }
heads = { train.model.n_head = 3 }
two = { train.runtime.seed = 3, trian.x = 1 }
long = { train.runtime.max_iters = 9 }
same = { train.model.n_head = 4 }
base = { train.model.n_head = 2 }
"a/b" = { train.model.n_head = 2, train.model.n_layer = 2 }
[sweep.arms.spread.train.model]
n_layer = 3
position = "rop"
[sweep.grid]
"train.data.batch_size" = [1]
"train.optim.learning_rate" = [1e-3, "x"]
"""


def test_every_mistake_in_every_arm_is_reported_with_its_line_all_at_once(folder: Folder) -> None:
    names = "names a folder, in which only letters, digits and . _ - + = , can be; base, data, replaced are taken"
    optimizers = '"adamw", "muon", "adam", "adagrad", "sgd", "rmsprop"'
    hint = "(did you mean rope?)"
    positions = '"learned", "sinusoidal", "rope", "alibi", "none"'
    assert folder.problems(MISTAKES) == [
        f'config.toml:5: arm typo: [train.optim] kind: must be one of {optimizers}; not "moun" (did you mean muon?)',
        "config.toml:6: arm heads: [train.model] n_head: 3 heads do not divide n_embd = 128",
        "config.toml:7: arm two: [train.runtime] seed: every arm has the same seeds: [sweep] seeds",
        "config.toml:7: arm two: [trian]: unknown section (did you mean train?)",
        'config.toml:8: arm long: [train.runtime] max_iters: follows from [sweep] match = "flops"',
        "config.toml:9: arm same: is the same as base",
        f"config.toml:10: arm base: {names}",
        f"config.toml:11: arm a/b: {names}",
        f'config.toml:14: arm spread: [train.model.position] kind: must be one of {positions}; not "rop" {hint}',
        'config.toml:17: arm batch_size=1,learning_rate=x: [train.optim] learning_rate: must be a number, not "x"',
    ]


def test_a_mistake_of_the_base_is_reported_once_and_not_for_every_arm(folder: Folder) -> None:
    text = "[train.model]\nn_head = 3\n" + SEEDS + "[sweep.arms]\na = { train.data.batch_size = 3 }\n"
    assert folder.problems(text) == ["config.toml:2: [train.model] n_head: 3 heads do not divide n_embd = 128"]


def test_a_mistake_in_an_arm_of_an_extended_file_is_located_there(folder: Folder) -> None:
    folder.write(SEEDS + "[sweep.arms]\na = { train.data.batch_size = 0 }")
    (problem,) = folder.problems('extends = "config.toml"\n[sweep]\nseeds = [3]', "s.toml")
    assert problem == "config.toml:4: arm a: [train.data] batch_size: must be more than 0, not 0"


PROBLEMS = r"""
seeds = [1, 1] -> 2: [sweep] seeds: must be different whole numbers from 0 on
seeds = [-1] -> 2: [sweep] seeds: must be different whole numbers from 0 on
seeds = ["x"] -> 2: [sweep] seeds: must be a whole number, not "x"
jobs = 2 -> 2: [sweep] jobs: a sweep needs seeds, such as [sweep] seeds = [1, 2, 3, 4, 5]
seeds = [1]|arms = 3 -> 3: [sweep] arms: must be a table, not 3
seeds = [1]|arms.a = 3 -> 3: [sweep.arms] a: must be a table, not 3
seeds = [1]|halving = 1 -> 3: [sweep] halving: must be 0, for off, or at least 2: 3 keeps the best third
seeds = [1]|halving = 3 -> 3: [sweep] halving: drops arms between horizons: set two or more, such as [0.25, 0.5, 1.0]
seeds = [1]|horizons = [1, 0.5] -> 3: [sweep] horizons: must be shares of max_iters in ascending order, such as [0.25, 0.5, 1.0]
seeds = [1]|match = "flop" -> 3: [sweep] match: must be one of "steps", "tokens", "flops", "seconds"; not "flop" (did you mean flops?)
seeds = [1]|grid.train.optim.lr = [1] -> 3: [sweep.grid]: needs each key whole and in quotes, such as "train.optim.learning_rate" = [1e-3, 3e-3]
seeds = [1]|grid."train.optim.learning_rate" = 1 -> 3: [sweep.grid] train.optim.learning_rate: must be a list, not 1
seeds = [1]|grid."train.optim.learning_rate" = [] -> 3: [sweep.grid]: train.optim.learning_rate has no values
seeds = [1]|arms.a.train.model.n_embd = 1 -> 3: arm a: [train.model] head_dim: must be more than 0, not 0, which follows from other options
seeds = [1]|arms.a.train.runtime.out_dir = "x" -> 3: arm a: [train.runtime] out_dir: each run has a folder of its own below the sweep's
"""  # noqa: E501 -- a message is one line


@pytest.mark.parametrize(("text", "problem"), [line.split(" -> ") for line in PROBLEMS.strip().splitlines()])
def test_what_a_sweep_cannot_be(folder: Folder, text: str, problem: str) -> None:
    assert folder.problems("[sweep]\n" + text.replace("|", "\n")) == [f"config.toml:{problem}"]


def stretched(sweep: Sweep, name: str, steps: int, horizon: float = 1.0) -> dict[str, Any]:
    (arm,) = (arm for arm in sweep.arms if arm.name == name)
    config = sweep.config(arm, sweep.stretched(arm, steps, horizon))
    return {"max_iters": config.train.runtime.max_iters, **config.train.schedule.model_dump()}


def test_a_schedule_keeps_its_shape_at_every_length(folder: Folder) -> None:
    base = "[train.runtime]\nmax_iters = 200\n[train.schedule]\nwarmup_iters = 20\nlr_decay_iters = 180\n" + SEEDS
    sweep = folder.sweep(base + "[sweep.arms]\nown = { train.schedule.warmup_iters = 30 }")
    assert stretched(sweep, "base", 200)["warmup_iters"] == 20
    short = stretched(sweep, "base", 100, 0.5)
    assert (short["max_iters"], short["warmup_iters"], short["lr_decay_iters"]) == (50, 5, 45)
    own = stretched(sweep, "own", 100, 0.5)
    assert (own["warmup_iters"], own["lr_decay_iters"]) == (15, 45), "what an arm states itself is for its full length"


def test_a_decay_that_is_not_stated_ends_with_the_training(folder: Folder) -> None:
    assert stretched(folder.sweep(SEEDS), "base", 300, 0.5)["lr_decay_iters"] == 150
