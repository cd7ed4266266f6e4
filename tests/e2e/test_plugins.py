"""A package from a folder of its own brings a part of each sort and an experiment; nothing in the core knows of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.e2e.processes import finish, start

PACKAGE = Path(__file__).with_name("plugin")
PARTS = ["optimizers", "schedules", "sinks", "positions", "models", "sources", "tokenizers"]
HALF = "[train.runtime]\nmax_iters = 4\n"
BIGRAM = 'train.model = {kind = "bigram", deviation = 0.2}\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it."""
    folder = tmp_path_factory.mktemp("environment") / "site-packages"
    source = shutil.copytree(PACKAGE, tmp_path_factory.mktemp("source") / "plugin")  # which the build writes to
    uv = [found] if (found := shutil.which("uv")) else [sys.executable, "-m", "uv"]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*uv, "pip", "install", *options, str(source)], check=True)
    return folder


def run(site: Path, folder: Path, *arguments: str) -> str:
    """What a command prints in `folder`."""
    log = folder / "printed.log"
    log.unlink(missing_ok=True)
    assert finish(start(arguments, folder, log, installed=site)) == 0, log.read_text()
    return log.read_text()


def preset(folder: Path, site: Path, text: str) -> str:
    """A TOML file that changes the package's experiment: `again.toml`, whose run is `again`."""
    base = site / "my_parts" / "my_stories" / "config.toml"
    (folder / "again.toml").write_text(f'extends = "{base}"\n{text}')
    return "again.toml"


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["model"]
    return found


def test_the_parts_of_a_package_are_listed_with_it(site: Path, tmp_path: Path) -> None:
    listed = run(site, tmp_path, "list", "parts")
    sorts = [block.split("\n", 1)[0] for block in listed.split("\n\n") if "my-parts 1.0" in block]
    found = [line for line in listed.splitlines() if "my-parts 1.0" in line]
    assert len(found) == len(PARTS), listed
    assert set(sorts) <= {*PARTS}
    assert "my_stories" in run(site, tmp_path, "list")


def test_a_training_uses_all_of_them_resumes_bit_for_bit_and_samples(site: Path, tmp_path: Path) -> None:
    said = run(site, tmp_path, "loop", "my_stories")
    assert "The " in said
    whole = tmp_path / "my_stories" / "out" / "my_stories"
    assert (whole / "all.csv").read_text().count("train/loss") == 4
    for text in (HALF, ""):
        run(site, tmp_path, "train", "my_stories", "--exp-config", preset(tmp_path, site, text))
    one, other = (weights(each / "ckpt_last.pt") for each in (whole, whole.with_name("again")))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_so_does_one_of_its_model(site: Path, tmp_path: Path) -> None:
    said = run(site, tmp_path, "loop", "my_stories", "--exp-config", preset(tmp_path, site, BIGRAM))
    assert f"training {260 * 260:,} parameters" in said
    assert "The " in said
