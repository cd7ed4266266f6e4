"""Fine-tuned models, merged and exported, in the real llama.cpp."""

from pathlib import Path

import pytest

from ml_playground.cli import main
from ml_playground.finetune.spec import FineTunedSpec
from ml_playground.inference.load import load_trained
from ml_playground.run.directory import RunDirectory
from tests.gguf.parity import CONTEXT, GREEDY, Run, compare, llama, row, tolerance
from tests.project import Project


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("structure", [False, True], ids=["text", "structure"])
def test_a_fine_tuned_model_is_merged_and_exported_alike(
    run: Run, table: list[str], real_data: Path, tmp_path: Path, kind: str, *, structure: bool
) -> None:
    """Ours on protocols, as a folder, with adapters for Shakespeare or for speeches, merged, by the converter."""
    base = run(kind, "GPT-2").out / "export" / "huggingface"
    project = Project(tmp_path)
    project.text.write_text((real_data / "tinyshakespeare" / "input.txt").read_text()[:200_000])
    speeches = real_data / "speakger" / "Bundestag.csv"
    raw = f'"{speeches}"' if structure else '"tiny/raw"'
    separator = "" if structure else 'doc_separator = "\\n\\n"\n'
    adapters = f"""
[prepare]
raw_dir = {raw}
tokenizer = "huggingface"
source = "{"speeches" if structure else "files"}"
add_structure_tokens = {str(structure).lower()}
{separator}
[train.hf_model]
model_name = "{base}"
block_size = {CONTEXT}
[train.peft]
extend_mlp_targets = true
[train.data]
batch_size = 4
block_size = 64
[train.optim]
learning_rate = 0.005
[train.runtime]
max_iters = 40
eval_interval = 40
eval_iters = 20
device = "cpu"
[export.gguf]
dtype = "f32"
"""
    project.config.write_text(adapters)
    for verb in ("prepare", "train", "merge", "export"):
        assert main([verb, str(project.folder)]) == 0
    path, spec = project.out / "export" / "tiny-f32.gguf", FineTunedSpec({"peft": {"enabled": True}}, str(base), None)
    found = compare(project, path, spec)
    table.append(row(kind, "GPT-2", f"f32, merged{', with structure tokens' if structure else ''}", found))
    assert found.same_ids
    assert found.same_greedy == GREEDY
    assert found.difference < tolerance(kind)
    if structure:
        prompt = "<speaker>Olaf Scholz<party>SPD<year>2022<speech>Frau Präsidentin!"
        ours: list[int] = load_trained(RunDirectory(project.out), spec).tokenizer.encode_prompt(prompt).tolist()
        assert llama(path).tokenize(prompt.encode()) == ours
        assert 50257 in ours
