"""What `list` shows."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_playground import experiments
from ml_playground.cli import main
from ml_playground.config.registries import OPTIMIZERS
from ml_playground.errors import PlaygroundError
from ml_playground.training.optimizers.sgd import SGDOptions
from ml_playground.utils.registry import plugins
from tests.project import CONFIG

PART = '''
from ml_playground.training.optimizers.sgd import SGDOptions


class Lion(SGDOptions):
    """Lion, of another package.

    More about it.
    """
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, one of which brings an experiment and an optimiser."""
    site = tmp_path / "site"
    poems = site / "poetry_of_theirs" / "poems_folder"
    poems.mkdir(parents=True)
    (site / "poetry_of_theirs" / "__init__.py").touch()
    (site / "poetry_of_theirs" / "lion.py").write_text(PART)
    (poems / "config.toml").write_text(CONFIG)
    (poems / "Readme.md").write_text("# Poems\n\nPoems by others.\n")
    write_entry_points(
        site, "experiments.poems = poetry_of_theirs.poems_folder\noptimizers.lion = poetry_of_theirs.lion:Lion"
    )
    monkeypatch.syspath_prepend(str(site))
    plugins.cache_clear()
    yield site
    plugins.cache_clear()
    for name in [each for each in sys.modules if each.startswith("poetry_of_theirs")]:
        del sys.modules[name]


def write_entry_points(site: Path, lines: str) -> None:
    info = site / "poetry_of_theirs-1.2.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poetry-of-theirs\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[ml_playground.plugins]\n{lines}\n")
    importlib.invalidate_caches()
    plugins.cache_clear()


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_experiments_are_listed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    listed = lines_of(capsys)
    assert listed == lines_of(capsys, "experiments")
    assert [line.split()[0] for line in listed] == sorted(line.split()[0] for line in listed)
    assert any(line.startswith("phrases  ") and "Short phrases" in line for line in listed)


def test_parts_are_listed_by_sort_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    listed = lines_of(capsys, "parts")
    start = listed.index("optimizers")
    assert [line.split()[0] for line in listed[start + 1 :][: len(OPTIMIZERS.built_in)]] == OPTIMIZERS.built_in
    assert any(line.split() == ["rmsprop", "RMSprop", "(Tieleman", "&", "Hinton", "2012);", "weight", "decay", "is",
                                "added", "to", "the", "gradient."] for line in listed)  # fmt: skip


@pytest.mark.usefixtures("installed")
def test_what_a_package_brings_is_listed_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    *_, last = lines_of(capsys)
    assert last.split(maxsplit=1) == ["poems", "Poems by others. (poetry-of-theirs 1.2)"]
    (lion,) = (line for line in lines_of(capsys, "parts") if line.split()[0] == "lion")
    assert lion.split(maxsplit=1) == ["lion", "Lion, of another package. (poetry-of-theirs 1.2)"]


def test_an_experiment_of_a_package_is_found_by_its_name(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = experiments.find("poems")
    assert (found.name, found.folder) == ("poems", installed / "poetry_of_theirs" / "poems_folder")
    assert main(["describe", "poems"]) == 0
    assert capsys.readouterr().out.startswith("poems: Poems by others.\n")
    with pytest.raises(PlaygroundError, match="did you mean poems"):
        experiments.find("poem")


@pytest.mark.parametrize("value", ["poetry_of_theirs", "poetry_of_theirs.lion", "nowhere.at_all", "nowhere"])
def test_a_package_that_brings_no_experiment_is_named(installed: Path, value: str) -> None:
    write_entry_points(installed, f"experiments.odes = {value}")
    with pytest.raises(PlaygroundError) as error:
        experiments.find("odes")
    expected = (
        f"the entry point experiments.odes = {value!r} of poetry-of-theirs 1.2 is not a package with a config.toml"
    )
    assert str(error.value).startswith(expected)


def test_the_names_of_the_project_come_first(installed: Path) -> None:
    write_entry_points(installed, "experiments.phrases = poetry_of_theirs.poems_folder")
    assert experiments.find("phrases").package is None
    assert [each.name for each in experiments.all_experiments()].count("phrases") == 1


@pytest.mark.parametrize("value", ["poetry_of_theirs.lion:Tiger", "poetry_of_theirs.tiger:Tiger", "nowhere:Tiger"])
def test_a_part_that_is_not_there_is_named_and_hides_no_other(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    write_entry_points(installed, f"optimizers.tiger = {value}\noptimizers.lion = poetry_of_theirs.lion:Lion")
    listed = lines_of(capsys, "parts")
    entry_point = f"the entry point optimizers.tiger = {value!r} of poetry-of-theirs 1.2 cannot be loaded: "
    assert any(line.startswith(f"  tiger    {entry_point}") for line in listed)
    assert any(line.startswith("  lion     Lion, of another package.") for line in listed)
    (tmp_path / "tiger.toml").write_text('extends = false\ntrain.optim = "tiger"')
    assert main(["describe", "phrases", "--exp-config", str(tmp_path / "tiger.toml")]) == 2
    assert entry_point in capsys.readouterr().err


def test_two_packages_that_bring_the_same_name_are_both_named(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = installed / "more_poetry-3.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: more-poetry\nVersion: 3.0\n")
    (other / "entry_points.txt").write_text("[ml_playground.plugins]\noptimizers.lion = more_poetry:Lion\n")
    importlib.invalidate_caches()
    plugins.cache_clear()
    assert main(["list", "parts"]) == 2
    message = capsys.readouterr().err
    assert "of poetry-of-theirs 1.2" in message
    assert "of more-poetry 3.0" in message


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_no_file_takes_the_name_of_another_part(name: str) -> None:
    with pytest.raises(PlaygroundError, match=f"there is '{name}' among the optimizers already"):
        OPTIMIZERS.register(name)(SGDOptions)
    assert OPTIMIZERS.load(name) is not SGDOptions


def test_an_entry_point_of_no_sort_is_named_where_it_is_missed(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry_points(
        installed, "optimiser.lion = poetry_of_theirs.lion:Lion\nexperiment.poems = poetry_of_theirs.poems_folder"
    )
    assert main(["list", "parts"]) == 0
    warnings = capsys.readouterr().err.splitlines()
    for name, value in (("optimiser.lion", "lion:Lion"), ("experiment.poems", "poems_folder")):
        entry_point = f"! the entry point {name} = 'poetry_of_theirs.{value}' of poetry-of-theirs 1.2"
        expected = f"{entry_point} must begin with one of experiments., optimizers., schedules., "
        assert any(line.startswith(expected) for line in warnings)
    (tmp_path / "lion.toml").write_text('extends = false\ntrain.optim = "lion"')
    assert main(["describe", "phrases", "--exp-config", str(tmp_path / "lion.toml")]) == 2
    assert 'not "lion"; the entry point optimiser.lion' in capsys.readouterr().err
    assert main(["describe", "poems"]) == 2
    assert "the entry point experiment.poems" in capsys.readouterr().err
