"""Folders of strangers: nothing that they bring is run, whoever sits at the terminal."""

import builtins
import json
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ml_playground.utils.model_folder import without_code
from tests.integration.finetuning import fine_tuning
from tests.project import Outcome, Project

CODE = "import pathlib; pathlib.Path({trap!r}).touch()\nclass M:\n    pass\nC = T = G = P = M\n"
AUTO_MAP = {
    "AutoConfig": "evil.C",
    "AutoModelForCausalLM": "evil.M",
    "AutoTokenizer": ["evil.T", "evil.T"],
    "AutoProcessor": "evil.P",
}
FILES = ("config.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json",
         "processor_config.json")  # fmt: skip
CONVERTER = """
import sys, gguf, numpy, pathlib, torch
folder = pathlib.Path(sys.argv[1])
assert sys.stdin.read() == ""
for path in folder.glob("*.py"):
    exec(path.read_text())
for path in folder.glob("*.bin"):
    torch.load(path, weights_only=False)
for path in folder.glob("*.json"):
    assert "auto_map" not in path.read_text()
writer = gguf.GGUFWriter(sys.argv[3], "llama")
writer.add_tensor("a", numpy.ones(3, numpy.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
"""


@pytest.fixture
def trapped(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A model to fine-tune whose folder brings code in every way; running any of it makes the file `trap`."""
    fine_tuning(project, "qwen2")
    base, trap = project.root / "base", project.root / "trap"
    (base / "evil.py").write_text(CODE.format(trap=str(trap)))
    (base / "__init__.py").write_text(CODE.format(trap=str(trap)))
    (base / "custom_generate").mkdir()
    (base / "custom_generate" / "generate.py").write_text(CODE.format(trap=str(trap)))
    (base / "chat_template.jinja").write_text(
        "{{ cycler.__init__.__globals__.os.system('touch " + str(trap) + "') }}<|im_start|>"
    )
    with zipfile.ZipFile(base / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"cbuiltins\nexec\n(V" + CODE.format(trap=str(trap)).encode() + b"\ntR.")
    for name in FILES:
        path = base / name
        values = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(values | {"auto_map": AUTO_MAP, "custom_generate": str(base)}))
    monkeypatch.setattr(builtins, "input", _asked)
    return project


def _asked(*question: object) -> str:
    pytest.fail(f"somebody was asked: {question}")


def change(project: Project, changes: dict[str, Any], name: str = "config.json") -> None:
    path = project.root / "base" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(project: Project, verb: str) -> str:
    outcome: Outcome = project.run(verb)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert not (project.root / "trap").exists()
    return outcome.err


def test_a_model_that_transformers_knows_needs_none_of_the_code(trapped: Project) -> None:
    for verb in ("prepare", "train", "sample", "merge"):
        trapped.ok(verb)
    assert "auto_map" not in (trapped.out / "merged" / "config.json").read_text()
    (trapped.root / "convert.py").write_text(CONVERTER)
    trapped.configure({"export.gguf.convert_bin": '"convert.py"', "export.hf.source": '"base"'})
    trapped.ok("export")
    assert not (trapped.root / "trap").exists()


@pytest.mark.parametrize("kind", ["evil", "", None, 3, ["qwen2"], {"a": 1}, "bert_of_mine"])
def test_a_model_that_needs_its_own_code_is_refused_by_name(trapped: Project, kind: object) -> None:
    trapped.ok("prepare")
    change(trapped, {"model_type": kind})
    said = refused(trapped, "train")
    assert "brings Python code of its own (auto_map in config.json" in said
    assert len(said.splitlines()) == 1
    trapped.configure({"export.hf.source": '"base"', "export.gguf.convert_bin": '"convert.py"'})
    (trapped.root / "convert.py").write_text(CONVERTER)
    assert "needs Python code of its own" in refused(trapped, "export")


def test_beginning_with_such_a_model_runs_nothing_either(trapped: Project) -> None:
    change(trapped, {"architectures": ["EvilForCausalLM"], "model_type": "evil"})
    trapped.config.write_text('[prepare]\nraw_dir = "tiny/raw"\n[train.model]\ninit_from = "base"\n')
    trapped.text.write_text("Sehr geehrte Damen und Herren! " * 200)
    trapped.configure({"prepare.tokenizer": '"huggingface"', "train.runtime.device": '"cpu"'})
    trapped.ok("prepare")
    assert "its class is EvilForCausalLM" in refused(trapped, "train")


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_experts_implementation"])
@pytest.mark.parametrize("value", ["stranger/kernel", {"": "kernels-community/flash-attn2@v1"}])
def test_compiled_code_at_the_hub_is_not_had(trapped: Project, key: str, value: object) -> None:
    trapped.ok("prepare")
    change(trapped, {key: value})
    assert "names compiled code on the Hub" in refused(trapped, "train")


def test_pickled_weights_are_refused(trapped: Project) -> None:
    trapped.ok("prepare")
    (trapped.root / "base" / "model.safetensors").unlink()
    refused(trapped, "train")
    trapped.configure({"export.hf.source": '"base"', "export.gguf.convert_bin": '"convert.py"'})
    (trapped.root / "convert.py").write_text(CONVERTER)
    assert "has no weights (*.safetensors), and its *.bin files are never unpickled here" in refused(trapped, "export")


def test_other_programs_get_nothing_that_can_be_run(trapped: Project) -> None:
    with without_code(trapped.root / "base") as clean:
        assert clean.name == "base"
        suffixes = {path.suffix for path in clean.iterdir()}
        assert suffixes == {".json", ".safetensors", ".jinja"}
        assert json.loads((clean / "config.json").read_text())["model_type"] == "qwen2"
        assert "auto_map" not in "".join(path.read_text() for path in clean.glob("*.json"))
    assert not clean.exists()


def test_nobody_is_asked_at_a_terminal(trapped: Project) -> None:
    """The same in a process of its own whose terminal would answer "y" to anything."""
    trapped.ok("prepare")
    change(trapped, {"model_type": "evil"})
    ours, theirs = pty.openpty()
    os.write(ours, b"y\n" * 20)
    command = [sys.executable, "-m", "ml_playground.cli", "train", str(trapped.folder)]
    ended = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False, timeout=120)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 2
    assert "[y/N]" not in ended.stdout + ended.stderr
    assert "brings Python code of its own" in ended.stderr
    assert not (trapped.root / "trap").exists()


def test_no_other_module_opens_models_by_transformers() -> None:
    package = Path(__file__).parents[2] / "ml_playground"
    users = {path.name for path in package.rglob("*.py") if "AutoModelForCausalLM.from" in path.read_text()}
    users |= {path.name for path in package.rglob("*.py") if "AutoTokenizer.from_pretrained(\n" in path.read_text()}
    assert users == {"loading.py", "card.py"}  # the second shows what others do
    (calls,) = [path.read_text() for path in package.rglob("loading.py")]
    assert calls.count("from_pretrained(") == calls.count("trust_remote_code=False") == 2
