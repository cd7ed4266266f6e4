"""`evaluate` through the command line's own entry."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ml_playground.commands import load_experiment
from ml_playground.data.store import Tokens, open_dataset, text_hash
from ml_playground.models.base import LanguageModel
from ml_playground.models.spec import spec_of
from ml_playground.run.opened import Run
from ml_playground.run.seal import recorded_digest
from ml_playground.run.windows import predictions, read_windows
from tests.integration.runs import weights
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


def everything_in(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_it_prints_what_training_measured_and_changes_none_of_its_files(project: Project) -> None:
    project.configure({"train.runtime.ema_decay": "0.9"})
    project.ok("train")
    before = everything_in(project.root)
    outcome = project.ok("evaluate")
    assert before.items() <= everything_in(project.root).items()
    rows = {row["step"]: row for row in project.metrics() if "val/loss" in row}
    expected = []
    for name in ("ckpt_best.pt", "ckpt_last.pt"):
        step = weights(project, name).progress.step
        loss, bits = rows[step]["val/loss"], rows[step]["val/bits_per_byte"]
        expected.append(f"{name}, step {step}: {loss:.4f} nats/token, {bits:.4f} bits/byte over ")
    first, last = outcome.out.splitlines()
    assert first.startswith(expected[0])
    assert last.startswith(expected[1])
    assert outcome.err == ""


def test_it_measures_the_whole_text_whatever_training_does(project: Project) -> None:
    project.ok("train")
    exact = project.ok("evaluate").out
    project.configure({"train.runtime.eval_iters": "1", "evaluate.context": "8"})
    assert project.ok("evaluate").out == exact
    _, config = load_experiment(project.folder)
    text = open_dataset(config.train.data.dataset_dir, config.prepare).val
    assert {each.tokens for each in Run.open(project.out).measured()} == {len(text) - 1}


def test_it_says_nothing_of_steps_that_will_not_be_taken(project: Project) -> None:
    project.ok("train")
    project.configure({"train.optim.learning_rate": "0.5", "train.model.n_layer": "2"})
    outcome = project.ok("evaluate")
    assert " on, " not in outcome.out + outcome.err
    assert "ckpt_last.pt has [train.model] n_layer = 1, the configuration says 2\n" in outcome.err


def test_the_previous_checkpoint_is_taken_where_the_last_is_damaged(project: Project) -> None:
    project.ok("train")
    (project.out / "ckpt_last.pt").write_bytes(b"x")
    before = everything_in(project.out)
    outcome = project.ok("evaluate")
    assert "ckpt_last.pt: damaged" in outcome.err
    assert "ckpt_prev.pt, step 4: " in outcome.out
    assert before.items() <= everything_in(project.out).items()


def test_a_checkpoint_is_needed(project: Project) -> None:
    outcome = project.run("evaluate")
    assert outcome.code == 2
    expected = "tiny/out/tiny: no checkpoint (ckpt_best.pt, ckpt_last.pt or ckpt.pt). Run 'train' first.\n"
    assert outcome.err == project.run("sample").err == expected
    assert not project.out.exists()
    project.ok("train")
    for name in ("ckpt_best.pt", "ckpt_last.pt", "ckpt_prev.pt"):
        (project.out / name).write_bytes(b"x")
    outcome = project.run("evaluate")
    assert outcome.code == 2
    assert [line.split(": ")[0].rpartition("/")[2] for line in outcome.err.splitlines()] == [
        "ckpt_best.pt",
        "ckpt_last.pt",
        "ckpt_prev.pt",
        "tiny",
    ]
    project.configure({"train.runtime.out_dir": '"tiny/out/other"'})
    assert "Or set [train.runtime] out_dir to an existing run: tiny/out/tiny" in project.run("evaluate").err


def test_data_and_context_must_be_those_of_the_run(project: Project) -> None:
    project.ok("train")
    project.configure({"train.data.block_size": "16"})
    refused = project.run("evaluate")
    assert refused.code == 2
    assert "block_size = 16 is beyond the model in ckpt_best.pt, whose block_size is 8." in refused.err
    project.configure({"train.data.block_size": "8", "prepare.split.val_fraction": "0.3"})
    project.ok("prepare")
    assert "was trained on different data than is prepared now" in project.run("evaluate").err


def test_an_option_of_before_leads_to_the_command(project: Project) -> None:
    project.configure({"train.runtime.eval_only": "true"})
    assert "[train.runtime] eval_only: unknown key (here it is the command `evaluate`)" in project.run("train").err


def test_a_run_of_another_file_is_named(project: Project) -> None:
    project.preset("other", 'extends = "config.toml"')
    wide = project.preset("wide", 'extends = "config.toml"')
    project.ok("train", wide)
    (project.out.parent / "wide").rename(project.out.parent / "other")
    outcome = project.ok("evaluate", project.folder / "other.toml")
    assert outcome.err == "! tiny/out/other was trained with tiny/wide.toml, another TOML file\n"
    assert "ckpt_last.pt, step 6: " in outcome.out


def slowly(model: LanguageModel, ids: Tokens, context: int, stride: int) -> list[float]:
    """The loss of each token but the first, each computed by itself, in the window that predicts it."""
    model.eval()
    tokens = torch.as_tensor(ids.astype(np.int64))
    losses: list[float] = []
    end = min(context, len(tokens) - 1)
    with torch.no_grad():
        for place in range(1, len(tokens)):
            if place > end:
                end = min(end + stride, len(tokens) - 1)
            before = place - 1 - (place - 1) % context if stride == context else max(0, end - context)
            logits = model(tokens[None, before:place])[0, -1]
            losses.append(F.cross_entropy(logits.float(), tokens[place]).item())
    return losses


@pytest.mark.parametrize(
    ("fixture", "context", "stride"),
    [("project", 8, 8), ("project", 8, 3), ("project", 5, 5), ("project", 6, 1), ("qwen", 8, 3)],
)
def test_it_measures_at_the_context_and_the_stride_that_are_stated(
    fixture: str, context: int, stride: int, request: pytest.FixtureRequest
) -> None:
    project: Project = request.getfixturevalue(fixture)
    project.ok("prepare")
    project.ok("train")
    project.configure({"evaluate.context": str(context), "evaluate.stride": str(stride)})
    said = project.ok("evaluate").out
    _, config = load_experiment(project.folder)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    best, last = Run.open(project.out).measured()
    assert (best.checkpoint, last.checkpoint) == ("ckpt_best.pt", "ckpt_last.pt")
    for each in (best, last):
        checkpoint = weights(project, each.checkpoint)
        spec = spec_of(config.train, config.file.root).for_data(dataset.tokenizer)
        model = spec.resume(checkpoint.origin.model_args)[0].restore(checkpoint.averaged_weights)
        losses = slowly(model, dataset.val, context, stride)
        assert each.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        assert (each.step, each.tokens) == (checkpoint.progress.step, len(losses))
        assert f"{each.checkpoint}, step {each.step}: {each.loss:.4f} nats/token" in said
        assert each.digest == recorded_digest(project.out / each.checkpoint)
        assert each.text == text_hash(dataset.val, dataset.tokenizer)
        windows = read_windows(project.out / each.windows)
        assert windows is not None
        assert windows.shape == predictions(each.tokens, context=context, stride=stride).shape
        assert windows.sum() / each.tokens == pytest.approx(each.loss, rel=1e-12)


def test_a_newer_result_replaces_one_of_the_same_checkpoint_and_settings(project: Project) -> None:
    project.ok("train")
    project.ok("evaluate")
    project.configure({"evaluate.stride": "4"})
    project.ok("evaluate")
    first = Run.open(project.out).measured()
    assert [(each.checkpoint, each.stride) for each in first] == [
        (name, stride) for stride in (8, 4) for name in ("ckpt_best.pt", "ckpt_last.pt")
    ]
    project.configure({"train.runtime.max_iters": "8"})
    project.ok("train")
    project.ok("evaluate")
    second = Run.open(project.out).measured()
    assert second[:2] == first[:2]
    assert [(each.stride, each.step) for each in second[2:]] == [(4, 8), (4, 8)]

    assert {each.windows for each in second} == {f"evaluations/{path.name}" for path in windows_of(project)}


def windows_of(project: Project) -> list[Path]:
    return sorted((project.out / "evaluations").iterdir())


def test_a_loss_is_never_paired_with_windows_of_another(project: Project) -> None:
    """Where the record cannot be written, as where the evaluation is killed before it is, the old windows stay."""
    project.ok("train")
    project.ok("evaluate")
    before, old = Run.open(project.out).measured(), windows_of(project)
    project.configure({"train.runtime.max_iters": "8"})
    project.ok("train")
    (project.out / "evaluations.json.tmp").mkdir()
    assert "could not be written" in project.run("evaluate").err
    assert Run.open(project.out).measured() == before
    assert len(windows_of(project)) > len(old)
    for each in before:
        windows = read_windows(project.out / each.windows)
        assert windows is not None
        assert windows.sum() / each.tokens == pytest.approx(each.loss, rel=1e-12)


def test_a_new_run_in_the_same_folder_begins_without_evaluations(project: Project) -> None:
    project.ok("train")
    project.ok("evaluate")
    windows = windows_of(project)
    for path in project.out.glob("ckpt_*.pt"):
        path.unlink()
    project.ok("train")
    assert Run.open(project.out).measured() == []
    assert [path.name for path in sorted((project.out / "evaluations-1").iterdir())] == [path.name for path in windows]
    assert (project.out / "evaluations-1.json").is_file()


def test_a_damaged_record_is_set_aside(project: Project) -> None:
    project.ok("train")
    (project.out / "evaluations.json").write_text("[{}]")
    assert "evaluations.json is damaged" in project.ok("evaluate").err
    assert len(Run.open(project.out).measured()) == 2
    assert (project.out / "evaluations-1.json").read_text() == "[{}]"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"evaluate.context": "9"}, "[evaluate] context: 9 is beyond [train.model] block_size = 8"),
        ({"evaluate.stride": "9"}, "[evaluate] stride: 9 is beyond context = 8"),
    ],
)
def test_windows_must_fit_the_model_and_leave_nothing_out(project: Project, options: dict[str, str], said: str) -> None:
    project.configure(options)
    assert said in project.run("evaluate").err
