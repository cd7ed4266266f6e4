"""`explore` through the command line's own entry."""

import json
import math
from typing import Any

import pytest

from tests.project import TEXT, Project


def trained(project: Project) -> Project:
    project.ok("prepare")
    project.ok("train")
    return project


def explored(project: Project) -> dict[str, Any]:
    folder = project.out / "reports" / "explore"
    assert sorted(path.name for path in folder.iterdir()) == ["explore.html", "explore.json"]
    made: dict[str, Any] = json.loads((folder / "explore.json").read_text(encoding="utf-8"))
    return made


def test_the_most_surprising_windows_of_the_validation_text(project: Project) -> None:
    trained(project)
    outcome = project.ok("explore")
    assert outcome.out == "wrote tiny/out/tiny/reports/explore/explore.html\n"
    made = explored(project)
    losses = [each["loss"] for each in made["passages"]]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > made["validation_loss"]
    best = max((row for row in project.metrics() if "val/loss" in row), key=lambda row: -row["val/loss"])
    assert made["validation_loss"] == pytest.approx(best["val/loss"], rel=1e-6)
    assert all(len(each["tokens"]) == 9 for each in made["passages"])  # as many as the model takes, and the next one
    assert all("".join(each["tokens"]) in TEXT for each in made["passages"])


@pytest.mark.parametrize("tokens", ["3", "8"])
@pytest.mark.parametrize("eval_iters", ["0", "2"])
def test_its_validation_loss_is_that_of_training_and_of_the_report(
    project: Project, tokens: str, eval_iters: str
) -> None:
    project.configure({"explore.tokens": tokens, "train.runtime.eval_iters": eval_iters})
    project.configure({"report.num_samples": "1", "report.documents": "1", "report.copy_lengths": "[2]"})
    trained(project)
    project.ok("explore")
    project.ok("report")
    report = json.loads((project.out / "reports" / "report" / "report.json").read_text(encoding="utf-8"))
    losses = [row["val/loss"] for row in project.metrics() if "val/loss" in row]
    assert explored(project)["validation_loss"] == pytest.approx(min(losses), rel=1e-6)
    assert explored(project)["validation_loss"] == pytest.approx(report["fit"]["validation_loss"], rel=1e-6)


def test_a_passage_of_ones_choice(project: Project) -> None:
    trained(project)
    project.configure({"explore.text": '"the owl\\n"'})
    project.ok("explore")
    made = explored(project)
    assert [each["tokens"] for each in made["passages"]] == [list("the owl\n")]
    assert made["validation_loss"] is None
    assert math.isfinite(made["passages"][0]["loss"])
    (project.folder / "owl.txt").write_text("the owl\n")
    project.configure({"explore.text": '"FILE:tiny/owl.txt"'})
    assert "is up to date" in project.ok("explore").out


def test_it_is_made_again_only_if_something_has_changed(project: Project) -> None:
    trained(project)
    project.ok("explore")
    assert project.ok("explore").out == "tiny/out/tiny/reports/explore/explore.html is up to date\n"
    project.configure({"explore.passages": "2"})
    assert "wrote" in project.ok("explore").out
    assert len(explored(project)["passages"]) == 2
    (project.out / "reports" / "explore" / "explore.html").unlink()
    assert "wrote" in project.ok("explore").out
    (project.out / "reports" / "explore" / "explore.json").write_text("{")
    assert "wrote" in project.ok("explore").out
    project.configure({"train.runtime.max_iters": "12"})
    project.ok("train")
    assert "wrote" in project.ok("explore").out


@pytest.mark.parametrize("version", [None, 1])
def test_a_page_of_an_earlier_version_is_made_again(project: Project, version: int | None) -> None:
    trained(project)
    project.ok("explore")
    record = project.out / "reports" / "explore" / "explore.json"
    made = json.loads(record.read_text(encoding="utf-8"))
    current = made["source"]["settings"].pop("version")
    if version is not None:
        made["source"]["settings"]["version"] = version
    record.write_text(json.dumps(made))
    assert "wrote" in project.ok("explore").out
    assert explored(project)["source"]["settings"]["version"] == current
    assert "is up to date" in project.ok("explore").out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"the übel"', "[explore] text: "),
        ('"the owl sits in"', "[explore] text: 15 tokens, of which the model takes at most 9. Make it shorter."),
        ('"t"', "[explore] text: a single token, which nothing predicts. Make it longer."),
        ('"FILE:nowhere.txt"', "nowhere.txt cannot be read: No such file or directory"),
    ],
)
def test_a_text_that_the_model_cannot_read(project: Project, text: str, message: str) -> None:
    trained(project)
    project.configure({"explore.text": text})
    outcome = project.run("explore")
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (project.out / "reports" / "explore").exists()


def test_a_checkpoint_is_needed(project: Project) -> None:
    project.ok("prepare")
    outcome = project.run("explore")
    assert outcome.code == 2
    assert outcome.err == project.run("sample").err
    assert not project.out.exists()


def test_other_data_than_it_was_trained_on(project: Project) -> None:
    trained(project)
    project.text.write_text(project.text.read_text() * 2)
    project.ok("prepare")
    outcome = project.run("explore")
    assert outcome.code == 2
    assert "different data than is prepared now. Prepare the old data again." in outcome.err


def test_documents_begin_with_their_start_token(project: Project) -> None:
    project.configure({"prepare.source": '"lines"', "sample.sample.start": '""', "explore.text": '"the cat"'})
    trained(project)
    project.ok("explore")
    assert explored(project)["passages"][0]["tokens"] == ["<|endoftext|>", *"the cat"]


def test_a_tiny_validation_text(project: Project) -> None:
    project.configure({"prepare.split.val_fraction": "0.002"})
    trained(project)
    project.ok("explore")
    assert len(explored(project)["passages"]) == 1


def test_a_fine_tuned_model(qwen: Project) -> None:
    qwen.configure({"explore.passages": "1", "explore.tokens": "6"})
    trained(qwen)
    qwen.ok("explore")
    html = (qwen.out / "reports" / "explore" / "explore.html").read_text(encoding="utf-8")
    assert explored(qwen)["source"]["checkpoint"].startswith("adapters/")
    assert "What the heads attend to" in html
    assert "Not shown" not in html


def test_the_number_format_of_the_training_is_used(project: Project) -> None:
    project.configure({"train.runtime.dtype": '"bfloat16"'})
    trained(project)
    project.ok("explore")
    assert explored(project)["source"]["settings"]["dtype"] == "bfloat16"
