"""The shipped experiments for fine-tuning, on small models and real or made-up texts."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ml_playground import experiments
from tests.integration.finetuning import SENTENCES, write_model
from tests.project import Project

SMALL = """\
extends = "config.toml"
[train.hf_model]
model_name = "base"
block_size = 64
gradient_checkpointing = false
[train.data]
block_size = 32
grad_accum_steps = 1
[train.optim]
learning_rate = 5e-3
[train.schedule]
lr_decay_iters = {steps}
[train.runtime]
max_iters = {steps}
eval_interval = 1000
eval_iters = 5
device = "cpu"
dtype = "float32"
[sample.runtime]
device = "cpu"
dtype = "float32"
"""
WHOLE = """\
[train.peft]
enabled = false
[prepare]
add_structure_tokens = false
"""
OTHER = '[sample.sample]\nstart = "<speaker>Max Müller<party>CDU/CSU<year>2022<speech>"\n'


def copied(project: Project, name: str, kind: str) -> Project:
    """A shipped experiment's folder, taken elsewhere, beside a small model."""
    write_model(project.root / "base", kind)
    project.folder = project.root / name
    project.datasets = project.folder / "datasets"
    shutil.copytree(experiments.find(name).folder, project.folder, ignore=shutil.ignore_patterns("datasets", "out"))
    project.datasets.mkdir()
    return project


def two_speakers(path: Path) -> None:
    """Two people, each of whom always says the same, in a table of SpeakGer's form."""
    rows = ["Period,Session,Date,Chair,Interjection,Party,MPID,Speaker,Speech"]
    for number in range(40):
        rows.append(f'20,{number},2022-12-01,False,False,SPD,1,Olaf Scholz,"{SENTENCES[2]} Antrag {number}."')
        rows.append(f"20,{number},2022-12-01,True,False,,,Präsidentin Bas,Nächster Redner: Max Müller.")
        rows.append(f'20,{number},2022-12-01,False,False,CDU/CSU,2,Max Müller,"{SENTENCES[1]} Antrag {number}."')
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_speakger_has_each_speaker_say_what_they_would(project: Project) -> None:
    """A small model learns the language by all its weights first, and then by adapters who says what."""
    copied(project, "speakger", "gemma3")
    two_speakers(project.datasets / "Bundestag.csv")
    small = SMALL.format(steps=150)
    project.ok("prepare", project.preset("whole", small + WHOLE))
    project.ok("train", project.preset("whole", small + WHOLE))
    project.ok("merge", project.preset("whole", small + WHOLE))
    shutil.rmtree(project.root / "base")
    shutil.copytree(project.folder / "out" / "whole" / "merged", project.root / "base")
    project.ok("loop", project.preset("small", small))
    project.ok("sample", project.preset("small", small + OTHER))
    rows = [json.loads(line) for line in (project.folder / "out/small/samples.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows[::3]] == [
        "<speaker>Olaf Scholz<party>SPD<year>2022<speech>",
        "<speaker>Max Müller<party>CDU/CSU<year>2022<speech>",
    ]
    for row, sentence in zip(rows, [SENTENCES[2]] * 3 + [SENTENCES[1]] * 3, strict=True):
        assert re.fullmatch(re.escape(sentence) + r" Antrag \d+\.", row["text"])


def test_a_copy_under_another_name_is_an_experiment_too(project: Project) -> None:
    copied(project, "speakger", "qwen2")
    two_speakers(project.datasets / "Bundestag.csv")
    project.folder = project.folder.rename(project.root / "my_speeches")
    project.ok("prepare", project.preset("mine", SMALL.format(steps=20)))
    assert (project.folder / "datasets" / "val.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speakger", "gemma_finetuning_mps"),
        ("speakger", "bundestag_finetuning_mps"),
        ("bundestag_qwen15b_lora_mps", "bundestag_finetuning_mps"),
    ],
)
def test_the_names_of_the_integrations_are_accepted(project: Project, name: str, value: str) -> None:
    copied(project, name, "qwen2")
    two_speakers(project.datasets / "Bundestag.csv")
    project.ok(
        "prepare",
        project.preset("named", SMALL.format(steps=20) + f'[prepare]\ndataset = "{value}"\nsource = "speeches"\n'),
    )
    assert json.loads((project.datasets / "meta.json").read_text())["settings"]["dataset"] == value


@pytest.mark.parametrize(
    ("name", "kind"), [("bundestag_finetuning_mps", "gpt2"), ("bundestag_qwen15b_lora_mps", "qwen2")]
)
def test_the_protocols_as_published_are_learnt_from(project: Project, real_data: Path, name: str, kind: str) -> None:
    copied(project, name, kind)
    shutil.copytree(real_data / "bundestag" / "raw", project.datasets / "raw")
    said = project.ok("loop", project.preset("small", SMALL.format(steps=20))).out
    assert said.count("(cp1252, ") == 3
    assert "20 of 20 steps done" in said
    assert {path.name for path in (project.folder / "out/small/adapters").iterdir()} == {"best", "last", "final"}


def test_the_published_table_is_learnt_from(project: Project, real_data: Path) -> None:
    copied(project, "speakger", "gemma3")
    shutil.copyfile(real_data / "speakger" / "Bundestag.csv", project.datasets / "Bundestag.csv")
    assert "speaker from Speaker" in project.ok("loop", project.preset("small", SMALL.format(steps=20))).out
    first = json.loads((project.datasets / "val.jsonl").read_text().splitlines()[0])
    assert first["text"].startswith(f"<speaker>{first['speaker']}")
    assert "<interjection>(" in (project.datasets / "train.jsonl").read_text()
    assert "Präsidentin" not in first["speaker"]
