"""The package as others get it: a wheel, in an environment that has nothing but what the wheel asks for.

uv takes all packages, torch too, from its cache, where `make setup` has put them, so nothing is downloaded and nothing
is shared with the environment that runs the tests.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHORT = """
extends = "ml_playground/experiments/phrases/config.toml"
[train.schedule]
warmup_iters = 1
lr_decay_iters = 4
[train.runtime]
max_iters = 4
eval_iters = 2
[sample.sample]
num_samples = 2
max_new_tokens = 5
"""


def uv(*arguments: str) -> None:
    program = [found] if (found := shutil.which("uv")) else [sys.executable, "-m", "uv"]
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or ""
    environment = {**os.environ, "UV_FIND_LINKS": links, "UV_OFFLINE": "1"}
    done = subprocess.run(
        [*program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = f"uv cannot install from its cache: {done.stderr}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", str(folder))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """An environment with the wheel and none of its extras."""
    folder = wheel.parent / "environment"
    uv("venv", "--python", sys.executable, str(folder))
    uv("pip", "install", "--python", str(folder), "--constraints", str(ROOT / "constraints.txt"), str(wheel))
    return folder


def hashes(folder: Path) -> dict[Path, str]:
    """Of all files but the bytecode that Python keeps beside modules."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path: sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_holds_the_experiments_and_presets_and_nothing_beside_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"ml_playground"}
    tracked = subprocess.run(["git", "ls-files", "ml_playground"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) <= names
    assert not [name for name in names if "/datasets/" in name or "/out/" in name]


def test_it_runs_in_an_empty_folder_and_leaves_the_package_as_it_is(environment: Path, tmp_path: Path) -> None:
    (package,) = environment.glob("lib/python*/site-packages/ml_playground")
    before = hashes(package)
    (tmp_path / "short.toml").write_text(SHORT)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [environment / "bin" / "ml-playground", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("loop", "phrases", "--exp-config", "short.toml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("---------------") == 2
    assert "wrote phrases/datasets" in done.stdout
    assert "saved in phrases/out/short" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"short.toml", "phrases"}
    shown = run("describe", "shakespeare_char", "--exp-config", "ml_playground/configs/shakespeare_char_fast.toml")
    assert shown.returncode == 0, shown.stderr
    assert "shakespeare_char/out/shakespeare_char_fast" in shown.stdout
    missing = run("export", "phrases", "--exp-config", "short.toml")
    assert missing.returncode == 2
    assert re.fullmatch(r"\w+ is not installed. It comes with: pip install 'ml-playground\[export\]'\n", missing.stderr)
    assert hashes(package) == before
