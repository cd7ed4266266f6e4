"""What the documents show can be done as shown."""

import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest

from ml_playground import experiments
from ml_playground.cli import main
from ml_playground.commands import VERBS, ExperimentVerb
from ml_playground.config.experiment import option_fields
from ml_playground.config.reference import reference
from ml_playground.config.registries import SCHEDULES

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not {".venv", ".venv-gguf", ".venv-lit", ".pytest_cache"} & set(path.relative_to(ROOT).parts)
    and "node_modules" not in path.parts
]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = {*re.findall(r"^([a-z][a-z0-9-]*):.*##", MAKEFILE, re.MULTILINE), *VERBS}


def code_lines(document: Path) -> list[str]:
    """Lines of shell blocks, but for those that install the package elsewhere; and what is in backticks in a line."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks if not block.startswith("pip install") for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", text)


def test_the_targets_are_those_that_were_promised() -> None:
    promised = (
        "setup verify help format lint pyright mypy quality quality-ext test unit unit-cov integration e2e acceptance "
        "prepare train sample loop tensorboard clean"
    )
    assert set(promised.split()) <= TARGETS


def test_make_help_lists_every_target_with_a_line() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in TARGETS:
        assert re.search(rf"^  {target} +\S", said, re.MULTILINE), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_document_shows_exists(document: Path) -> None:
    for line in code_lines(document):
        for targets, options in re.findall(r"^(?:\$ )?make ([a-z][a-z0-9 -]*)((?: [A-Z]+=\S+)*)", line):
            assert set(targets.split()) <= TARGETS, line
            check_options(options, line)
        for verb, name, rest in re.findall(r"(?:ml_playground\.cli|ml-playground) ([a-z]+)(?: ([\w./<>]+))?(.*)", line):
            assert verb in VERBS, line
            if isinstance(VERBS[verb], ExperimentVerb):
                check_experiment(name)
            check_options(rest, line)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_is_shown_in_a_document(verb: str) -> None:
    for_users = [path for path in DOCUMENTS if path.parent in (ROOT, ROOT / "docs") and path.name != "LOG.md"]
    lines = [line for document in for_users for line in code_lines(document)]
    assert any(re.search(rf"^(?:make |\S*ml-playground )?{verb}\b", line) for line in lines)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_shows_a_command_that_setup_does_not_put_in_place(document: Path) -> None:
    """`uv` may be on no PATH after `make setup` has installed it; what is in .venv/bin, is there by its path."""
    if document.name == "LOG.md":
        return
    for line in code_lines(document):
        for command in re.split(r"&&|\|", line.split("#")[0]):
            words = [word for word in command.split() if not re.fullmatch(r"[A-Z_]+=\S*", word)]
            assert not words or words[0] not in ("uv", "python", "python3", "pip", "ml-playground", "pytest"), line
            if words and words[0].startswith(".venv/bin/"):
                assert (ROOT / words[0]).exists(), line


def test_make_runs_without_an_activated_environment_and_uv_leaves_it_alone() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    assert settings["managed"] is False  # a plain `uv run` would replace a CPU build of PyTorch by 5 GB of CUDA


NANOGPT = """
out_dir eval_interval log_interval eval_iters eval_only always_save_checkpoint init_from
wandb_log wandb_project wandb_run_name dataset
gradient_accumulation_steps batch_size block_size n_layer n_head n_embd dropout bias learning_rate
max_iters weight_decay beta1 beta2 grad_clip decay_lr warmup_iters lr_decay_iters min_lr backend device dtype compile
start num_samples max_new_tokens temperature top_k seed
"""


def test_the_page_for_users_of_nanogpt_has_all_of_its_options_and_none_that_we_lack() -> None:
    page = (ROOT / "docs" / "from_nanogpt.md").read_text(encoding="utf-8")
    ours = {f"[{'.'.join(key[:-1])}] {key[-1]}" for key, _ in option_fields()}
    named = set(re.findall(r"\[[a-z_.]+\] [a-z0-9_]+", page))
    assert len(named) > 30
    assert named <= ours
    first = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert set(NANOGPT.split()) <= set(re.findall(r"`(\w+)`", " ".join(first)))


def check_options(options: str, line: str) -> None:
    for name, value in re.findall(r"([A-Z]+)=(\S+)", options):
        assert name in ("EXP", "CONFIG", "LOGDIR", "PORT", "NANOGPT", "ONLY", "TEXT"), line
        if name == "EXP":
            check_experiment(value)
        if name == "CONFIG":
            check_config(value)
    for value in re.findall(r"--exp-config (\S+)", options):
        check_config(value)


def check_experiment(name: str) -> None:
    if name and not name.startswith("<") and not name.startswith(".."):
        experiments.find(name)


def check_config(path: str) -> None:
    assert (ROOT / path).is_file() or path.endswith("phrases_shallow.toml"), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_configuration_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference() + "\n"


def test_the_variant_that_the_readme_shows_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    variant, parts, tuned = blocks
    base = f'extends = "{ROOT}/ml_playground'
    (tmp_path / "phrases_shallow.toml").write_text(variant.replace('extends = "ml_playground', base))
    assert main(["describe", "phrases", "--exp-config", str(tmp_path / "phrases_shallow.toml")]) == 0
    said = capsys.readouterr().out
    assert "2 layers" in said
    assert "out/phrases_shallow" in said
    (tmp_path / "parts.toml").write_text(f'{base}/experiments/phrases/config.toml"\n{parts}')
    assert main(["describe", "phrases", "--exp-config", str(tmp_path / "parts.toml")]) == 0
    assert 'mlp = "relu2"' in capsys.readouterr().out
    (tmp_path / "tuned.toml").write_text(f"extends = false\n{tuned}")
    assert main(["describe", "phrases", "--exp-config", str(tmp_path / "tuned.toml")]) == 0
    assert "adapters of rank 16 for Qwen/Qwen2.5-0.5B" in capsys.readouterr().out


def test_the_core_that_the_readme_lists_is_as_short_as_it_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    limit = re.search(r"^The core is under ([\d,]+) lines", readme, re.MULTILINE)
    listed = re.findall(r"^\d+\. \[[\w/.]+\]\((ml_playground/[\w/]+\.py)\)", readme, re.MULTILINE)
    assert limit is not None
    assert len(listed) > 15
    lines = sum(len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in listed)
    assert lines < int(limit[1].replace(",", "")) <= 2500


def test_the_times_in_the_readme_are_those_that_were_measured(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "plot_time_to_quality.py"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (_, theirs, their_training), (_, ours, our_training), *_ = script["measured"]()
    assert f"{theirs:g} s for\nnanoGPT's whole process and {ours:g} s for `shakespeare_char_fast`" in readme
    assert f"training alone, {their_training:g} s and {our_training:g} s" in readme
    script["draw"](tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text()
    assert (ROOT / "docs" / "time_to_quality.svg").read_text() == drawn, "run docs/plot_time_to_quality.py"


def test_every_folder_of_tests_says_what_belongs_there() -> None:
    for folder in (ROOT / "tests", *(path for path in (ROOT / "tests").iterdir() if (path / "README.md").exists())):
        assert (folder / "README.md").is_file()
    for tier in ("unit", "integration", "e2e", "acceptance", "gguf", "lit"):
        assert (ROOT / "tests" / tier / "README.md").is_file()


def test_every_test_has_the_marker_of_its_folder(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        tier = item.path.relative_to(ROOT / "tests").parts[0]
        assert [
            marker.name for marker in item.iter_markers() if marker.name in ("unit", "integration", "e2e", "acceptance")
        ] == [tier]


def test_every_schedule_is_drawn_and_described(tmp_path: Path) -> None:
    drawn, document = (ROOT / "docs" / "schedules.svg").read_text(), (ROOT / "docs" / "schedules.md").read_text()
    for kind in SCHEDULES:
        assert f">{kind}</text>" in drawn
        assert f"| `{kind}` |" in document
    script = runpy.run_path(str(ROOT / "docs" / "plot_schedules.py"))
    script["draw"](tmp_path / "schedules.svg")
    assert paths(tmp_path / "schedules.svg") == paths(ROOT / "docs" / "schedules.svg")


def paths(picture: Path) -> list[str]:
    """The lines of a picture; what else is in it differs between versions of the library."""
    return re.findall(r'<path d="([^"]+)" clip-path', picture.read_text())
