"""An experiment outside the clone, named from within it."""

import shutil
from pathlib import Path

import pytest

from ml_playground.cli import main
from ml_playground.data.download import TINY_SHAKESPEARE
from tests.project import CONFIG, PREPARE, TEXT, Project

HELPED = PREPARE.replace(
    "prepare_texts(find_texts(config), config)",
    "from late import SUFFIX\n"
    "    prepare_texts([path for path in find_texts(config) if path.name == NAME + SUFFIX], config)",
)


@pytest.fixture
def clone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with text of its own in `raw/`, in which the test stands, beside the tiny project."""
    clone = project.root / "clone"
    (clone / "raw").mkdir(parents=True)
    (clone / "raw" / "wrong.txt").write_text("this is not the text that is meant\n" * 100)
    (clone / "pyproject.toml").touch()
    (project.root / "pyproject.toml").unlink()
    project.config.write_text(CONFIG.replace("tiny/raw", "raw"))
    monkeypatch.chdir(clone)
    return clone


def run(verb: str, *arguments: str) -> None:
    assert main([verb, *arguments]) == 0


def test_it_reads_its_own_text_and_has_its_own_run(
    project: Project, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for way in ("../tiny", "raw/../../tiny"):
        run("loop", way)
        assert "wrong.txt" not in capsys.readouterr().out
    run("describe", "../tiny", "--exp-config", "raw/../../tiny/config.toml")
    assert 'raw_dir = "raw"' in capsys.readouterr().out
    assert (project.out / "ckpt_last.pt").exists()
    assert sorted(path.name for path in clone.iterdir()) == ["pyproject.toml", "raw"]


def test_its_prepare_can_import_what_is_beside_it(project: Project, clone: Path) -> None:
    other = shutil.copytree(project.folder, project.root / "other")
    for folder, name in ((project.folder, "input"), (other, "second")):
        (folder / "prepare.py").write_text(f"from helper import NAME\n{HELPED}")
        (folder / "helper.py").write_text(f"NAME = '{name}'\n")
        (folder / "late.py").write_text("SUFFIX = '.txt'\n")
    (other / "raw" / "second.txt").write_text(TEXT.upper())
    (clone / "helper.py").write_text("raise AssertionError('of another folder')\n")
    for way, folder in (("../tiny", project.folder), ("../other", other), ("../tiny", project.folder)):
        run("prepare", way)
        used = (folder / "datasets" / "meta.json").read_text()
        assert ("input.txt" in used, "second.txt" in used) == (folder == project.folder, folder == other)


@pytest.mark.parametrize("verb", ["prepare", "loop"])
def test_what_is_prepared_needs_no_download_again(
    project: Project, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    prepare = Path(__file__).parents[2] / "ml_playground" / "experiments" / "shakespeare_char" / "prepare.py"
    (project.folder / "prepare.py").write_text(prepare.read_text())
    cache = project.root / "cache"
    shutil.copytree(real_data / "tinyshakespeare", cache / "tinyshakespeare")
    monkeypatch.setenv("ML_PLAYGROUND_CACHE", str(cache))
    project.ok("prepare")
    shutil.rmtree(cache)
    monkeypatch.setattr("requests.Session.request", lambda *_, **__: pytest.fail("it asks the network"))
    project.configure({"train.model.n_embd": "2", "train.runtime.max_iters": "2", "train.runtime.eval_iters": "1"})
    assert "up to date, nothing to do" in project.ok(verb).out
    assert not cache.exists()
    assert TINY_SHAKESPEARE.name not in capsys.readouterr().err


def test_a_checkpoint_of_nanogpt_that_training_does_not_use_is_named(project: Project) -> None:
    project.ok("prepare")
    project.out.mkdir(parents=True)
    reference = Path(__file__).parents[1] / "unit" / "interop" / "nanogpt_run" / "ckpt.pt"
    shutil.copy(reference, project.out)
    said = project.ok("train").out
    assert "! tiny/out/tiny/ckpt.pt, a checkpoint of nanoGPT, is not resumed." in said
    assert '[train.model] init_from = "tiny/out/tiny/ckpt.pt"' in said
    assert (project.out / "ckpt.pt").read_bytes() == reference.read_bytes()
