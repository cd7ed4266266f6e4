"""Shared by all tiers. Imports nothing heavy, so that tests of pure modules start at once."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.project import Project

# Before torch is imported. Many threads beside each other wait more than they compute: on a busy machine the tests took
# fifteen times as long, and they change the order in which sums are made.
os.environ["OMP_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with the name of the folder that it lies in."""
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project folder with one tiny experiment, in which the tests then stand."""
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capsys)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real texts that `ML_PLAYGROUND_CACHE` names, which `make test` works without.

    It holds `tinyshakespeare/input.txt` as the project's own download would, and `bundestag/raw/*.txt`.
    """
    folder = Path(os.environ.get("ML_PLAYGROUND_CACHE", "nowhere"))
    if not (folder / "bundestag" / "raw").is_dir():
        _cannot_run("needs real texts: ML_PLAYGROUND_CACHE is not set to a folder with bundestag/raw")
    return folder


@pytest.fixture(scope="session")
def gpt2() -> "TiktokenTokenizer":
    """GPT-2's tokenizer, whose files come from the internet or from `TIKTOKEN_CACHE_DIR`."""
    from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
    from ml_playground.errors import DataError

    try:
        return TiktokenTokenizer("gpt2", start_token=True)
    except DataError as error:
        _cannot_run(str(error))


def _cannot_run(why: str) -> NoReturn:
    """Skip a test that lacks data; in CI, where all data is at hand, fail it."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
