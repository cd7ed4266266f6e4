"""Files of a run that were altered since they were written: found before they are used, and named."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ml_playground.run.checkpoint import load
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.checksums import write_checksums
from tests.full_disk import full_disk
from tests.integration.runs import weights
from tests.project import Project

with_transformers = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::FutureWarning:peft")


def alter(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def tuned(qwen: Project) -> Project:
    """A fine-tuned and merged model."""
    for verb in ("prepare", "train", "merge"):
        qwen.ok(verb)
    return qwen


@with_transformers
def test_adapters_that_were_altered_are_named_and_the_checkpoint_taken(tuned: Project) -> None:
    best = tuned.out / "adapters" / "best"
    sound = tuned.ok("sample").out
    merged = (tuned.out / "merged" / "model.safetensors").read_bytes()
    kept = tuned.root / "kept"
    shutil.copytree(best, kept)
    files = sorted(path.name for path in best.iterdir())
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "training.json"} <= set(files)
    for name in files:
        damaged = bytearray((best / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (best / name).write_bytes(damaged)
        sampled = tuned.ok("sample")
        assert "adapters/best/" in sampled.err
        assert f"{name}: damaged" in sampled.err or "does not match checksums.json" in sampled.err
        assert "sampling from tiny/out/tiny/ckpt_best.pt" in sampled.err
        assert sampled.out == sound
        shutil.copyfile(kept / name, best / name)
    alter(best / "adapter_config.json", '"lora_alpha": 16', '"lora_alpha": 17')
    assert "adapter_config.json: damaged" in tuned.ok("merge").err
    assert (tuned.out / "merged" / "model.safetensors").read_bytes() == merged


@with_transformers
def test_a_merged_model_that_was_altered_is_not_exported(tuned: Project) -> None:
    alter(tuned.out / "merged" / "config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-02')
    refused = tuned.run("export")
    assert refused.code == 2
    assert refused.err == (
        "tiny/out/tiny/merged/config.json: damaged (its checksum does not match checksums.json). Run 'merge' again.\n"
    )


@with_transformers
def test_a_merged_model_that_was_altered_is_no_source_of_an_export(tuned: Project) -> None:
    tuned.configure({"export.hf.source": '"tiny/out/tiny/merged"'})
    alter(tuned.out / "merged" / "config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-02')
    refused = tuned.run("export")
    assert refused.code == 2
    assert refused.err.startswith("tiny/out/tiny/merged/config.json: damaged (its checksum does not match")


@with_transformers
@pytest.mark.parametrize("model_args", ["{}", "[]", '{"new_tokens": {"x": [1]}}'])
def test_adapters_whose_facts_were_changed_with_their_checksums_are_named(tuned: Project, model_args: str) -> None:
    best = tuned.out / "adapters" / "best"
    about = json.loads((best / "training.json").read_text())
    (best / "training.json").write_text(json.dumps({**about, "model_args": json.loads(model_args)}))
    write_checksums(best)
    assert "adapters/best: damaged" in tuned.ok("sample").err


@with_transformers
def test_a_merged_model_that_was_altered_is_not_fine_tuned_again(tuned: Project) -> None:
    merged = tuned.out / "merged"
    tuned.configure(
        {
            "train.hf_model.model_name": f'"{merged}"',
            "train.runtime.out_dir": '"tiny/out/again"',
            "prepare.dataset_dir": '"tiny/again"',
        }
    )
    tuned.ok("prepare")
    alter(merged / "config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-02')
    refused = tuned.run("train")
    assert refused.code == 2
    assert "merged/config.json: damaged (its checksum does not match checksums.json)" in refused.err
    (merged / "checksums.json").unlink()
    refused = tuned.run("train")
    assert refused.code == 2
    assert "merged/checksums.json is missing. If that was on purpose, delete merge.json there." in refused.err
    (merged / "merge.json").unlink()
    tuned.ok("train")


@with_transformers
def test_a_merge_waits_for_nobody_and_harms_nobody(tuned: Project) -> None:
    before = {path: path.read_bytes() for path in (tuned.out / "merged").iterdir()}
    with RunDirectory(tuned.out).lock("merge"):
        refused = tuned.run("merge")
        assert refused.code == 2
        assert "another merge, or export of the merged model, (process " in refused.err
        assert "another merge, or export of the merged model, (process " in tuned.run("export").err
        tuned.configure({"train.runtime.max_iters": "8", "train.runtime.save_merged_on_best": "true"})
        trained = tuned.ok("train")
        assert "! not merged: " in trained.out
    assert {path: path.read_bytes() for path in (tuned.out / "merged").iterdir()} == before
    assert weights(tuned).progress.step == 8


@pytest.fixture
def trained(project: Project) -> Project:
    """A trained model."""
    project.ok("prepare")
    project.ok("train")
    return project


def test_a_second_export_is_refused(trained: Project) -> None:
    with RunDirectory(trained.out).lock("export"):
        refused = trained.run("export")
    assert refused.code == 2
    assert "another export (process " in refused.err


def test_exporting_what_is_not_there_makes_no_folder(project: Project) -> None:
    project.ok("prepare")
    assert project.run("export").code == 2
    assert not project.out.exists()


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b"[]", b'{"starts": 3}', b'{"starts"', b"3", b"[" * 100_000, b"null"]
)
def test_a_damaged_run_json_is_set_aside_and_written_again(trained: Project, damage: bytes) -> None:
    (trained.out / "run.json").write_bytes(damage)
    trained.configure({"train.runtime.max_iters": "8"})
    assert "run.json is damaged and now run-1.json" in trained.ok("train").err
    assert (trained.out / "run-1.json").read_bytes() == damage
    info = json.loads((trained.out / "run.json").read_bytes())
    assert [start["step"] for start in info["starts"]] == [6]
    assert info["config"]["train"]["runtime"]["max_iters"] == 8


@pytest.mark.parametrize("damage", [b"\xff\xfe\n", b"3\n", b'{"val/loss": 1}\n', b'{"step": "x"}\n', b"\0\0\0\n"])
def test_damaged_metrics_are_kept_and_their_readable_rows_used(trained: Project, damage: bytes) -> None:
    whole = (trained.out / "metrics.jsonl").read_bytes()
    first, rest = whole.split(b"\n", 1)
    (trained.out / "metrics.jsonl").write_bytes(first + b"\n" + damage + rest)
    trained.configure({"train.runtime.max_iters": "8"})
    assert (
        "metrics.jsonl is damaged: keeping its readable rows, and a copy of all of it in metrics-1.jsonl"
        in trained.ok("train").err
    )
    assert (trained.out / "metrics-1.jsonl").read_bytes() == first + b"\n" + damage + rest
    assert (trained.out / "metrics.jsonl").read_bytes().startswith(whole)


@pytest.mark.parametrize("name", ["metrics.jsonl", "train.lock", "summary.json", "samples.jsonl"])
def test_a_pipe_in_place_of_a_file_is_neither_waited_for_nor_a_traceback(trained: Project, name: str) -> None:
    trained.configure({"train.runtime.max_iters": "8"})
    (trained.out / name).unlink(missing_ok=True)
    os.mkfifo(trained.out / name)
    trained.ok("describe")
    outcomes = trained.run("train"), trained.run("sample")
    assert all(outcome.code in (0, 2) for outcome in outcomes)
    if name in ("metrics.jsonl", "train.lock"):
        assert "could not be written: Not a regular file" in outcomes[0].err
    elif name == "samples.jsonl":
        assert "! samples cannot be saved in " in outcomes[1].err


def test_a_row_that_a_crash_cut_short_is_not_damage(trained: Project) -> None:
    with (trained.out / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "train/lo')
    trained.configure({"train.runtime.max_iters": "8"})
    assert "damaged" not in trained.ok("train").err


def test_samples_that_cannot_be_kept_are_printed_all_the_same(trained: Project) -> None:
    expected = trained.ok("sample").out
    for path in (trained.out / "samples.jsonl", *(trained.out / "samples").iterdir()):
        path.unlink()
    with full_disk(0):
        sampled = trained.ok("sample")
    assert sampled.out == expected
    assert sampled.err.count("! samples cannot be saved in ") == 1


def test_a_damaged_best_checkpoint_falls_back_to_the_last(trained: Project) -> None:
    sound = load(trained.out / "ckpt_last.pt")
    path = trained.out / "ckpt_best.pt"
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.unlink()  # it may be the same file as ckpt_last.pt
    path.write_bytes(damaged)
    sampled = trained.ok("sample")
    assert "ckpt_best.pt: damaged" in sampled.err
    assert f"ckpt_last.pt (step {sound.progress.step}" in sampled.err
