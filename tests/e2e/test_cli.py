"""The command line as a process: exit codes, streams, and what is imported when."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project

WITHOUT_TORCH = """
import sys
from ml_playground.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
assert "torch" not in sys.modules, "torch was imported"
sys.exit(code)
"""

WITHOUT_SLOW_IMPORTS = """
import sys
from ml_playground.cli import main
code = main(sys.argv[1:])
slow = {"torch._dynamo", "torch._inductor", "transformers", "peft", "accelerate", "gguf"} & sys.modules.keys()
assert not slow, slow
sys.exit(code)
"""


def run(*arguments: str, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "ml_playground.cli"]
    return subprocess.run([sys.executable, *start, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["list"], ["train", "nowhere"], []])
def test_help_is_instant_as_it_imports_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    outcome = run(*arguments, cwd=tmp_path, code=WITHOUT_TORCH)
    assert "torch was imported" not in outcome.stderr
    assert outcome.returncode == (0 if "--help" in arguments or "list" in arguments else 2), outcome.stderr


def test_preparing_characters_and_telling_a_mistake_need_no_torch(project: Project) -> None:
    outcome = run("prepare", "tiny", cwd=project.root, code=WITHOUT_TORCH)
    assert outcome.returncode == 0, outcome.stderr
    project.configure({"train.data.batch_sise": "3"})
    outcome = run("train", "tiny", cwd=project.root, code=WITHOUT_TORCH)
    assert outcome.returncode == 2
    line = project.config.read_text().splitlines().index("batch_sise = 3") + 1
    expected = f"tiny/config.toml:{line}: [train.data] batch_sise: unknown key (did you mean batch_size?)\n"
    assert outcome.stderr == expected


def test_the_whole_loop_runs_as_a_module_from_any_directory(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcome = run("loop", str(project.folder), cwd=elsewhere)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("---------------") == 2
    assert (project.out / "ckpt_last.pt").exists()
    assert not list(elsewhere.iterdir())


def test_the_console_script_is_installed(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("ml-playground")
    outcome = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0
    for verb in ("prepare", "train", "sample", "loop", "list", "describe"):
        assert verb in outcome.stdout


def test_a_reader_that_has_seen_enough_is_no_mishap(tmp_path: Path) -> None:
    command = f"{sys.executable} -m ml_playground.cli list | true"
    outcome = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.stderr == ""


def test_describing_what_was_trained_needs_no_torch(project: Project) -> None:
    for verb in ("prepare", "train", "sample"):
        project.ok(verb)
    outcome = run("describe", "tiny", cwd=project.root, code=WITHOUT_TORCH)
    assert outcome.returncode == 0, outcome.stderr
    assert "parameters" in outcome.stdout


@pytest.mark.parametrize("verb", ["train", "sample", "evaluate"])
def test_a_built_in_model_needs_no_compiler_and_nothing_of_hugging_face(project: Project, verb: str) -> None:
    for earlier in ("prepare", "train"):
        project.ok(earlier)
    if verb == "train":  # from its first step, not from its last
        for path in project.out.glob("*.pt"):
            path.unlink()
    outcome = run(verb, "tiny", cwd=project.root, code=WITHOUT_SLOW_IMPORTS)
    assert outcome.returncode == 0, outcome.stderr
