"""Libraries that an extra brings."""

import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ml_playground.errors import MissingExtraError
from ml_playground.utils.extras import EXTRAS, needing

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_the_packages_of_its_modules(extra: str) -> None:
    stated = {line.partition(">")[0] for line in PROJECT["optional-dependencies"][extra]}
    of_modules = packages_distributions()
    assert {name.replace("_", "-") for module in EXTRAS[extra] for name in of_modules[module]} == stated


@pytest.mark.parametrize(
    ("module", "wanted", "named"), [("peft", "finetune", "finetune"), ("gguf", "finetune", "export")]
)
def test_a_missing_module_is_reported_with_the_command_that_installs_it(module: str, wanted: str, named: str) -> None:
    expected = pytest.raises(MissingExtraError, match=rf"^{module} is not .* pip install 'ml-playground\[{named}\]'$")
    with expected, needing(wanted):
        raise ModuleNotFoundError(f"No module named '{module}.quants'", name=f"{module}.quants")


def test_a_module_of_no_extra_stays_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"), needing("finetune"):
        import_module("nowhere_at_all")
