"""What `make lit` installs, which must suffice without the tools for developing."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
USED = """
import sys
from importlib.metadata import packages_distributions
import ml_playground.commands.lit.page
found = packages_distributions()
modules = {name.partition(".")[0] for name in sys.modules}
print(*sorted({each for module in modules for each in found.get(module, [])}), sep="\\n")
"""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    pairs = (line.split(" ")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {plain(name): version for name, version in pairs}


def with_dependencies(requirements: Iterable[str]) -> set[str]:
    found: set[tuple[str, str]] = set()
    left = [(Requirement(each), "") for each in requirements]
    while left:
        needed, around = left.pop()
        if needed.marker is not None and not needed.marker.evaluate({"extra": around}):
            continue
        for extra in ["", *needed.extras]:
            if (key := (plain(needed.name), extra)) not in found and needed.name != "ml-playground":
                found.add(key)
                left += [(Requirement(each), extra) for each in distribution(needed.name).requires or []]
    return {name for name, _ in found}


def test_all_that_the_server_imports_is_installed_without_the_tools_for_developing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = with_dependencies([*project["dependencies"], *extras["finetune"], *extras["export"], *extras["analysis"]])
    listed = pinned(ROOT / "lit_nlp" / "requirements.txt")
    done = subprocess.run([sys.executable, "-c", USED], cwd=ROOT, capture_output=True, text=True, check=True)
    used = set(map(plain, done.stdout.split())) - {"ml-playground"}
    assert "lit-nlp" in used
    assert used - own - listed.keys() == set()


def test_its_versions_are_those_of_the_other_environment() -> None:
    listed, others = (pinned(ROOT / name) for name in ("lit_nlp/requirements.txt", "constraints.txt"))
    assert {name: others.get(name, version) for name, version in listed.items()} == listed
