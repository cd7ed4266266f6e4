"""`report` through the command line's own entry."""

import json
from typing import Any

import pytest

from tests.integration.runs import weights
from tests.project import Project


@pytest.fixture
def small(project: Project) -> Project:
    """The tiny project with a quick report."""
    project.configure({"report.num_samples": "5", "report.documents": "4", "report.copy_lengths": "[2, 4]"})
    return project


def reported(project: Project) -> dict[str, Any]:
    folder = project.out / "reports" / "report"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.md"]
    made: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for same in ("texts", "tokens"):  # or the validation text would not be a zero line
        assert made["copied_samples"][same] == made["copied_validation"][same] > 0
    return made


def pages(project: Project) -> tuple[str, str]:
    folder = project.out / "reports" / "report"
    return tuple((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))  # type: ignore[return-value]  # two


def trained(project: Project) -> Project:
    project.ok("prepare")
    project.ok("train")
    return project


def best_row(project: Project) -> dict[str, Any]:
    step = weights(project, "ckpt_best.pt").progress.step
    return next(row for row in project.metrics() if row["step"] == step and "val/loss" in row)


def test_its_losses_are_those_of_the_training(small: Project) -> None:
    project = trained(small)
    outcome = project.ok("report")
    assert "tiny/out/tiny/reports/report/report.html" in outcome.out
    made, row = reported(project), best_row(project)
    fit = made["fit"]
    assert fit["validation_loss"] == pytest.approx(row["val/loss"], rel=1e-6)
    assert fit["bits_per_byte"] == pytest.approx(row["val/bits_per_byte"], rel=1e-6)
    assert fit["validation_accuracy"] == pytest.approx(row["val/accuracy"], rel=1e-9)
    assert fit["training_tokens"] == fit["validation_tokens"]
    assert fit["gap"] == pytest.approx(fit["validation_loss"] - fit["training_loss"])
    for bins in (fit["by_position"], fit["by_frequency"]):
        assert sum(each["tokens"] for each in bins) == fit["validation_tokens"]
        total = sum(each["tokens"] * (each["loss"] or 0) for each in bins)
        assert total / fit["validation_tokens"] == pytest.approx(fit["validation_loss"], rel=1e-6)
    html, markdown = pages(project)
    for text in (html, markdown):
        assert f"{fit['validation_loss']:.4f}" in text
        assert made["source"]["sha256"] in text
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_its_samples_are_those_of_sample(small: Project) -> None:
    project = trained(small)
    project.configure({"sample.sample.num_samples": "5"})
    project.ok("sample")
    rows = [json.loads(line) for line in (project.out / "samples.jsonl").read_text().splitlines()]
    project.ok("report")
    assert reported(project)["samples"] == [row["text"] for row in rows]


def test_it_is_made_again_only_if_something_has_changed(small: Project) -> None:
    project = trained(small)
    project.ok("report")
    before = pages(project), reported(project)
    assert project.ok("report").out == "tiny/out/tiny/reports/report/report.html is up to date\n"
    project.configure({"report.batch_size": "2", "train.optim.beta1": "0.5"})
    assert "is up to date" in project.ok("report").out
    project.configure({"report.num_samples": "3"})
    assert "wrote" in project.ok("report").out
    assert len(reported(project)["samples"]) == 3
    assert reported(project)["samples"] == before[1]["samples"][:3]
    (project.out / "reports" / "report" / "report.json").write_text("{")
    assert "wrote" in project.ok("report").out
    project.configure({"train.runtime.max_iters": "12"})
    project.ok("train")
    assert "wrote" in project.ok("report").out


@pytest.mark.parametrize("version", [None, 1])
def test_a_page_of_an_earlier_version_is_made_again(small: Project, version: int | None) -> None:
    project = trained(small)
    project.ok("report")
    record = project.out / "reports" / "report" / "report.json"
    made = json.loads(record.read_text(encoding="utf-8"))
    current = made["source"]["settings"].pop("version")
    if version is not None:
        made["source"]["settings"]["version"] = version
    record.write_text(json.dumps(made))
    assert "wrote" in project.ok("report").out
    assert reported(project)["source"]["settings"]["version"] == current
    assert "is up to date" in project.ok("report").out


def test_a_model_that_knows_its_text_by_heart_is_found_out(small: Project) -> None:
    project = small
    once = "".join(map(chr, range(ord("0"), ord("z"))))  # each character has one that follows it, but at the end
    project.text.write_text(once + once[20::-1])
    project.configure(
        {
            "train.runtime.max_iters": "300",
            "train.optim.learning_rate": "0.03",
            "train.runtime.eval_interval": "300",
            "report.probe": "4",
            "sample.sample.start": '"0"',
        }
    )
    trained(project)
    (project.out / "ckpt_best.pt").unlink()  # from before it overfitted
    project.ok("report")
    made = reported(project)
    assert made["source"]["checkpoint"] == "ckpt_last.pt"
    assert made["memory_training"]["documents"] == 4
    assert made["fit"]["training_loss"] < 1
    assert made["memory_training"]["whole"] >= 3
    assert made["memory_validation"]["whole"] == 0
    assert made["fit"]["gap"] > 1
    assert made["copied_samples"]["median"] > made["copied_validation"]["median"]


@pytest.mark.parametrize("documents", ["lines", "files"])
def test_documents(small: Project, documents: str) -> None:
    project = small
    if documents == "files":
        lines = project.text.read_text().splitlines()
        for number, line in enumerate(lines):
            (project.text.parent / f"{number:02}.txt").write_text(line)
        project.text.unlink()
    project.configure({"prepare.source": f'"{documents}"', "sample.sample.start": '""', "report.probe": "3"})
    trained(project)
    project.ok("report")
    made = reported(project)
    assert made["has_documents"]
    assert made["probe"] == 3
    assert made["memory_training"]["documents"] == 4
    assert made["fit"]["validation_loss"] == pytest.approx(best_row(project)["val/loss"], rel=1e-6)
    assert "<|endoftext|>" not in made["copied_validation"]["passage"]
    project.configure({"report.num_samples": "20"})  # more than there are documents for validation
    project.ok("report")
    made = reported(project)
    assert len(made["samples"]) == 20
    assert made["copied_samples"]["texts"] == made["variety_samples"]["texts"] < 20


def test_a_fine_tuned_model(qwen: Project) -> None:
    qwen.configure({"report.num_samples": "2", "report.documents": "2", "report.copy_lengths": "[2]"})
    trained(qwen)
    qwen.ok("report")
    made = reported(qwen)
    assert made["source"]["checkpoint"].startswith("adapters/")
    assert made["fit"]["validation_loss"] == pytest.approx(best_row(qwen)["val/loss"], rel=1e-5)


def test_one_window_is_enough(small: Project) -> None:
    small.configure({"train.runtime.eval_iters": "1"})
    project = trained(small)
    project.ok("report")
    made = reported(project)
    assert made["fit"]["validation_tokens"] == 8
    assert [each["kind"] for each in made["passages"]] == ["worst"]
    assert len(made["passages"][0]["tokens"]) == 9


def test_a_tiny_validation_text(small: Project) -> None:
    small.configure({"prepare.split.val_fraction": "0.002"})
    project = trained(small)
    project.ok("report")
    assert reported(project)["fit"]["validation_tokens"] < 8


def test_a_checkpoint_is_needed(small: Project) -> None:
    small.ok("prepare")
    outcome = small.run("report")
    assert outcome.code == 2
    assert outcome.err == small.run("sample").err
    assert not small.out.exists()


def test_other_data_than_it_was_trained_on(small: Project) -> None:
    project = trained(small)
    project.text.write_text(project.text.read_text() * 2)
    project.ok("prepare")
    outcome = project.run("report")
    assert outcome.code == 2
    assert "different data than is prepared now. Prepare the old data again." in outcome.err
    assert not (project.out / "reports" / "report").exists()


def test_windows_beyond_the_model(small: Project) -> None:
    project = trained(small)
    project.configure({"train.data.block_size": "16"})
    outcome = project.run("report")
    assert outcome.code == 2
    assert "[train.data] block_size = 16 is beyond the model" in outcome.err


def test_split_characters_are_shown_as_bytes(small: Project) -> None:
    project = small
    project.text.write_text("Größe über Straße – " * 60, encoding="utf-8")
    project.configure({"prepare.tokenizer": '"gpt2"', "sample.sample.start": '"Gr"'})
    trained(project)
    project.ok("report")
    shown = [token["text"] for each in reported(project)["passages"] for token in each["tokens"]]
    assert " \\xc3" in shown
    assert "\ufffd" not in "".join(shown)
