"""Where a TOML file's paths count from, what it may extend, and files that no configuration should be read from."""

import os
from pathlib import Path

import pytest

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.files import read_toml_files
from ml_playground.config.load import load_config
from ml_playground.errors import ConfigError
from tests.project import shape


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def experiment(folder: Path, text: str = "") -> Path:
    write(folder / "prepare.py")
    return write(folder / "config.toml", text)


def load(path: Path) -> ExperimentConfig:
    return load_config(path, name=path.parent.name, folder=path.parent)


def problem(path: Path, folder: Path | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(path, name="mine", folder=folder or path.parent)
    return str(error.value)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, in which the tests stand, beside an experiment that is no part of it."""
    write(tmp_path / "clone" / "pyproject.toml")
    experiment(tmp_path / "outside" / "poems", '[prepare]\nraw_dir = "raw"\n')
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


@pytest.mark.parametrize(
    "way", ["../outside/poems", "../clone/../outside/poems", "link", "there/poems", "inner/../link"]
)
def test_paths_count_from_where_a_file_is_by_whatever_way_it_was_named(clone: Path, way: str) -> None:
    poems = clone.parent / "outside" / "poems"
    (clone / "inner").mkdir()
    (clone / "link").symlink_to(poems)
    (clone / "there").symlink_to(poems.parent)
    for folder in (Path(way), clone / way):
        config = load_config(folder / "config.toml", name="poems", folder=folder)
        assert config.prepare.raw_dir == poems / "raw"
        assert config.prepare.dataset_dir == poems / "datasets"
        assert config.train.runtime.out_dir == poems / "out" / "poems"


def test_a_linked_file_has_the_paths_of_the_file_itself_and_a_run_by_its_own_name(clone: Path) -> None:
    poems = clone.parent / "outside" / "poems"
    write(poems / "wide.toml", 'extends = "config.toml"\n[prepare]\nraw_dir = "texts"')
    (clone / "w.toml").symlink_to(poems / "wide.toml")
    config = load_config(Path("w.toml"), name="poems", folder=poems)
    assert config.prepare.raw_dir == poems / "texts"
    assert config.train.runtime.out_dir == poems / "out" / "w"


def test_what_is_extended_through_dots_has_its_own_root(clone: Path) -> None:
    write(clone / "wide.toml", 'extends = "../outside/poems/config.toml"\n[export.hf]\nsource = "model"')
    config = load_config(Path("wide.toml"), name="poems", folder=clone.parent / "outside" / "poems")
    assert config.prepare.raw_dir == clone.parent / "outside" / "poems" / "raw"
    assert config.export.hf.source == clone / "model"


def test_a_preset_that_extends_nothing_is_refused_with_the_line_to_add(clone: Path) -> None:
    own = experiment(clone / "mine", "[train.data]\nbatch_size = 5")
    inside, outside = clone / "presets" / "wide.toml", clone.parent / "else where" / "wide.toml"
    for preset, line in ((inside, "mine/config.toml"), (outside, "../clone/mine/config.toml")):
        write(preset, "[train.model]\nn_layer = 2")
        said = problem(preset, own.parent)
        assert ":1: does not extend the experiment's config.toml" in said
        assert f'Add this line at its top: extends = "{line}" (or, ' in said
        write(preset, f'extends = "{line}"\n[train.model]\nn_layer = 2')
        config = load_config(preset, name="mine", folder=own.parent)
        assert (config.train.data.batch_size, shape(config.train.model).n_layer) == (5, 2)


def test_so_is_one_whose_basis_extends_nothing_and_the_basis_is_named(clone: Path) -> None:
    own = experiment(clone / "mine")
    write(clone / "mine" / "base.toml")
    preset = write(clone / "mine" / "wide.toml", 'extends = "base.toml"')
    assert problem(preset, own.parent).startswith("mine/base.toml:1: does not extend")


def test_a_file_that_says_so_is_complete_in_itself(clone: Path) -> None:
    own = experiment(clone / "mine", "[train.data]\nbatch_size = 5")
    preset = write(clone / "alone.toml", "extends = false\n[train.model]\nn_layer = 2")
    assert load_config(preset, name="mine", folder=own.parent).train.data.batch_size == 12
    write(own, "extends = false")
    assert load(own).train.data.batch_size == 12


@pytest.mark.parametrize(
    "key", ["prepare.raw_dir", "train.runtime.out_dir", "train.model.init_from", "export.hf.source"]
)
@pytest.mark.parametrize(
    ("stated", "found"), [("~/x", "{home}/x"), ("$PLACE/x", "{home}/p/x"), ("${PLACE}x", "{home}/px")]
)
def test_home_and_variables_are_what_they_stand_for(
    clone: Path, monkeypatch: pytest.MonkeyPatch, key: str, stated: str, found: str
) -> None:
    home = clone.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PLACE", str(home / "p"))
    config = load(experiment(clone / "mine", f'{key} = "{stated}"'))
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    assert str(value) == found.format(home=home)


def test_so_they_are_in_prompts_and_in_what_is_extended(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(clone.parent))
    write(clone.parent / "base.toml", "[train.model]\nn_layer = 3")
    config = load(experiment(clone / "mine", 'extends = "$HOME/base.toml"\nsample.sample.start = "FILE:~/p.txt"'))
    assert shape(config.train.model).n_layer == 3
    assert config.sample.sample.start == f"FILE:{clone.parent}/p.txt"
    assert load(experiment(clone / "mine", 'sample.sample.start = "~ costs $5"')).sample.sample.start == "~ costs $5"


@pytest.mark.parametrize(
    "key", ["prepare.raw_dir", "train.hf_model.model_name", "train.model.file", "export.ollama.quant_bin"]
)
@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("$NO_SUCH/x", "environment variable NO_SUCH is not set"),
        ("x/${NO_SUCH}", "environment variable NO_SUCH is not set"),
        ("$EMPTY/x", "environment variable EMPTY is not set"),
        ("~nobody-of-that-name/x", "there is no user nobody-of-that-name"),
        ("a\\u0000b", "a path cannot have a NUL character"),
    ],
)
def test_what_stands_for_nothing_is_refused_with_its_line(
    clone: Path, monkeypatch: pytest.MonkeyPatch, key: str, stated: str, words: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    table, _, name = key.rpartition(".")
    text = f'[prepare]\ntokenizer = "huggingface"\n[{table}]\n' if table != "prepare" else "\n\n[prepare]\n"
    assert f"mine/config.toml:4: [{table}] {name}: {words}" in problem(
        experiment(clone / "mine", f'{text}{name} = "{stated}"')
    )


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("$NO_SUCH/x.toml", "environment variable NO_SUCH is not set"),
        ("a\\u0000b", "NUL"),
        ("FILE", "is a dir|Is a directory"),
    ],
)
def test_what_cannot_be_extended_is_named(clone: Path, stated: str, words: str) -> None:
    (clone / "FILE").mkdir()
    assert any(word in problem(experiment(clone / "mine", f'extends = "{stated}"')) for word in words.split("|"))


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "{b = " * 3000 + "1" + "}" * 3000,
        ".".join(["a"] * 50_000) + " = 1",
        "[" + ".".join(["train"] * 50_000) + "]",
        "[train]\n" + " . ".join(['"a"'] * 30) + " = 1",
    ],
)
def test_deep_nesting_is_a_mistake_with_a_line(clone: Path, text: str) -> None:
    assert problem(experiment(clone / "mine", f"\n{text}")).startswith("mine/config.toml:")
    assert "nested too deeply" in problem(experiment(clone / "mine", f"\n{text}"))


def test_thousands_of_files_may_extend_each_other(clone: Path) -> None:
    experiment(clone / "mine", "[train.model]\nn_layer = 7")
    for number in range(2000):
        before = "config.toml" if number == 0 else f"{number - 1}.toml"
        write(clone / "mine" / f"{number}.toml", f'extends = "{before}"')
    toml_files = read_toml_files(clone / "mine" / "1999.toml")
    assert len(toml_files) == 2001
    assert toml_files[0].values == {"train": {"model": {"n_layer": 7}}}


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30, "0x" + "f" * 5000, "9" * 5000])
def test_integers_beyond_64_bits_are_refused(clone: Path, number: str) -> None:
    for value in (number, f"[1, {number}]", f"[{{a = {number}}}]"):
        said = problem(experiment(clone / "mine", f"[train.runtime]\nseed = {value}"))
        assert "64-bit integer" in said or "thousands of digits" in said
        assert len(said) < 200


def test_only_regular_files_are_opened(clone: Path) -> None:
    """A pipe would keep its reader waiting for ever."""
    own = experiment(clone / "mine")
    os.mkfifo(clone / "pipe")
    (clone / "circle").symlink_to("circle")
    for name, words in (("pipe", "Not a regular file"), ("mine", "Is a directory"), ("circle", "symbolic links")):
        assert words in problem(clone / name, own.parent)
        assert words in problem(experiment(clone / "other", f'extends = "../{name}"')) or name == "circle"
    assert "Not a regular file" in problem(Path("/dev/zero"), own.parent)
    (clone / "large.toml").write_bytes(b"#" * 2**21)
    assert "File too large" in problem(clone / "large.toml", own.parent)


def test_a_long_value_is_cut_short_in_a_message(clone: Path) -> None:
    said = problem(experiment(clone / "mine", f'[train.data]\nbatch_size = "{"x" * 10**5}"'))
    assert "must be a whole number" in said
    assert len(said) < 400
