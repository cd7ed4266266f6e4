"""Sampling through the command line's own entry, from a tiny trained model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ml_playground.run.checkpoint import load, save
from tests.project import Project

NANOGPT = Path(__file__).parents[1] / "unit" / "interop" / "nanogpt_run"


@pytest.fixture(autouse=True)
def trained(project: Project) -> None:
    project.ok("prepare")
    project.ok("train")


def samples(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.out / "samples.jsonl").read_text().splitlines()]


def test_the_same_seed_makes_the_same_text_and_all_of_it_is_appended(project: Project) -> None:
    first, second = project.ok("sample").out, project.ok("sample").out
    assert first == second
    rows = samples(project)
    assert len(rows) == 4
    assert [row["text"] for row in rows[:2]] == [row["text"] for row in rows[2:]]
    assert first == "".join(f"the{row['text']}\n---------------\n" for row in rows[:2])
    assert rows[0]["text"] != rows[1]["text"]
    assert rows[0] | {"prompt": "the", "checkpoint": "ckpt_best.pt", "step": 6, "temperature": 0.8} == rows[0]
    project.configure({"sample.runtime.seed": "7"})
    assert project.ok("sample").out != first


def test_texts_side_by_side_are_those_that_come_one_by_one(project: Project) -> None:
    project.configure({"sample.sample.num_samples": "5"})
    project.ok("train")
    one_by_one = project.ok("sample").out
    project.configure({"sample.sample.batch_size": "3"})
    assert project.ok("sample").out == one_by_one


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_a_cache_works_in_every_number_format(project: Project, dtype: str) -> None:
    project.configure({"sample.runtime.dtype": f'"{dtype}"', "train.model.kind": '"qwen3"'})
    project.ok("train")
    project.ok("sample")


def test_temperature_0_is_greedy_so_that_all_samples_are_one(project: Project) -> None:
    project.configure({"sample.sample.temperature": "0"})
    project.ok("sample")
    rows = samples(project)
    assert rows[0]["text"] == rows[1]["text"]


def test_text_appears_as_it_is_made(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def keep(*values: object, end: str = "\n", flush: bool = False, **_: object) -> None:
        if flush:
            flushed.append("".join(map(str, values)) + end)

    monkeypatch.setattr("builtins.print", keep)
    project.ok("sample")
    assert len([piece for piece in flushed if piece]) >= 24  # one piece per character


@pytest.mark.parametrize(
    ("kept", "taken"),
    [
        (("ckpt_best.pt", "ckpt_last.pt", "ckpt.pt"), "ckpt_best.pt"),
        (("ckpt_last.pt", "ckpt.pt"), "ckpt_last.pt"),
        (("ckpt.pt",), "ckpt.pt"),
    ],
)
def test_the_best_is_tried_first_then_the_last_then_nanogpts(
    project: Project, kept: tuple[str, ...], taken: str
) -> None:
    shutil.copy(NANOGPT / "ckpt.pt", project.out)
    shutil.copy(NANOGPT / "meta.pkl", project.out)
    for path in project.out.glob("ckpt*"):
        if path.name not in kept:
            path.unlink()
    assert f"{taken} (step" in project.ok("sample").err
    assert samples(project)[0]["checkpoint"] == taken


def test_a_damaged_checkpoint_is_named_and_the_next_one_taken(project: Project) -> None:
    (project.out / "ckpt_best.pt").unlink()  # the same file as ckpt_last.pt
    (project.out / "ckpt_best.pt").write_bytes(b"x" * 100)
    outcome = project.ok("sample")
    assert "ckpt_best.pt: damaged" in outcome.err
    assert samples(project)[0]["checkpoint"] == "ckpt_last.pt"
    (project.out / "ckpt_last.pt").write_bytes(b"x" * 100)
    project.ok("sample")
    assert samples(project)[-1]["checkpoint"] == "ckpt_prev.pt"
    (project.out / "ckpt_prev.pt").write_bytes(b"x" * 100)
    outcome = project.run("sample")
    assert outcome.code == 2
    assert "no intact checkpoint is left" in outcome.err


def test_a_prompt_can_come_from_a_file(project: Project) -> None:
    (project.root / "p.txt").write_text("a dog")
    project.configure({"sample.sample.start": '"FILE:p.txt"'})
    assert project.ok("sample").out.startswith("a dog")


def test_phrases_start_from_nothing_and_end_themselves(project: Project) -> None:
    project.configure(
        {
            "prepare.source": '"lines"',
            "train.runtime.max_iters": "250",
            "train.runtime.eval_interval": "250",
            "train.optim.learning_rate": "1e-2",
            "train.data.block_size": "32",
            "train.runtime.out_dir": '"phrases"',
            "sample.sample.start": '""',
            "sample.sample.temperature": "0.3",
            "sample.sample.max_new_tokens": "100",
        }
    )
    outcome = project.ok("loop")
    made = outcome.out.split("saved in")[1].splitlines()[2::2]
    assert len(made) == 2
    assert all(phrase.startswith("the ") and len(phrase) < 40 for phrase in made)


def test_averaged_weights_are_the_ones_sampled_from(project: Project) -> None:
    project.configure(
        {"train.runtime.ema_decay": "0.5", "train.runtime.out_dir": '"averaged"', "sample.sample.temperature": "0"}
    )
    project.ok("train")
    by_average = project.ok("sample").out
    path = project.root / "averaged" / "ckpt_best.pt"
    checkpoint = load(path)
    assert checkpoint.ema is not None
    save(path, replace(checkpoint, model={name: torch.zeros_like(each) for name, each in checkpoint.model.items()}))
    assert project.ok("sample").out == by_average


def test_nothing_is_dropped_while_sampling(project: Project) -> None:
    project.configure(
        {"train.model.dropout": "0.5", "sample.sample.temperature": "0.0", "sample.sample.num_samples": "4"}
    )
    project.ok("train")
    project.ok("sample")
    assert len({row["text"] for row in samples(project)}) == 1


@pytest.mark.filterwarnings("ignore")  # torch gives several of its own while it compiles
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler")
def test_a_compiled_model_writes_the_same_text(project: Project) -> None:
    project.configure({"sample.sample.temperature": "0.0", "train.model.kind": '"qwen3"'})
    project.ok("train")
    plain = project.ok("sample").out
    project.configure({"sample.runtime.compile": "true"})
    assert project.ok("sample").out == plain
