"""Texts to look at a model with, of every kind of data."""

import json

import numpy as np
import pytest

from ml_playground.analysis.examples import Example, sample_examples, validation_examples
from ml_playground.config.load import load_config
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import DataError
from ml_playground.run.opened import Run
from tests.integration.exports import PROTOCOL
from tests.project import Project


def opened(project: Project) -> Dataset:
    config = load_config(project.config, name="tiny", folder=project.folder)
    return open_dataset(config.prepare.dataset_dir, config.prepare)


def prepared(project: Project) -> Dataset:
    project.ok("prepare")
    return opened(project)


def assert_within(examples: list[Example], dataset: Dataset) -> None:
    """Their tokens follow each other in the validation text, and they come in its order."""
    val, after = dataset.val.tolist(), 0
    for each in examples:
        ids = list(each.ids)
        after = next(at for at in range(after, len(val)) if val[at : at + len(ids)] == ids) + 1


def test_running_text_gives_windows_spread_over_it(project: Project) -> None:
    dataset = prepared(project)
    found = validation_examples(dataset, count=3, context=12)
    assert [each.kind for each in found] == ["window"] * 3
    assert_within(found, dataset)
    assert found[0].ids == tuple(dataset.val[:12].tolist())
    assert found[-1].ids[-1] in dataset.val[-12:]
    for each in found:
        assert each.fields == {}
        assert tuple(dataset.tokenizer.encode(each.text).tolist()) == each.ids
    assert len(validation_examples(dataset, count=1000, context=12)) == len(dataset.val) // 12
    assert len(validation_examples(dataset, count=1000, context=10**6)) == 1


def test_windows_hold_whole_characters(project: Project, gpt2: TiktokenTokenizer) -> None:
    project.text.write_text("Über Straßen, Größe und 東京の天気 🌦️ reden. " * 60, encoding="utf-8")
    project.configure({"prepare.tokenizer": '"gpt2"'})
    dataset = prepared(project)
    assert dataset.tokenizer.describe() == TiktokenTokenizer("gpt2", start_token=False).describe()
    assert gpt2.vocab_size
    cut = 0
    for context in range(5, 12):
        found = validation_examples(dataset, count=20, context=context)
        assert_within(found, dataset)
        assert not any("\ufffd" in each.text for each in found)
        cut += sum(len(each.ids) < context for each in found)
    assert cut


def test_lines_are_whole_lines_with_their_start(project: Project) -> None:
    project.configure({"prepare.source": '"lines"'})
    dataset = prepared(project)
    found = validation_examples(dataset, count=4, context=100)
    lines = project.text.read_text().splitlines()
    assert [each.kind for each in found] == ["line"] * 4
    assert all(each.text in lines and each.ids[0] == dataset.tokenizer.start_id for each in found)
    assert_within(found, dataset)
    assert {len(each.ids) for each in validation_examples(dataset, count=4, context=6)} == {6}


@pytest.mark.parametrize("kind", ["qwen2", "gemma3", "llama"])
def test_documents_come_with_their_fields(project: Project, kind: str) -> None:
    from tests.integration.finetuning import fine_tuning

    dataset = prepared(fine_tuning(project, kind))
    rows = [json.loads(line) for line in (project.datasets / "val.jsonl").read_text().splitlines()]
    whole = validation_examples(dataset, count=10**6, context=10**6)
    assert [{"text": each.text, **each.fields} for each in whole] == rows
    assert {each.kind for each in whole} == {"document"}
    separator = dataset.tokenizer.separator()
    assert separator is not None
    assert np.concatenate([[*each.ids, *separator] for each in whole]).tolist() == dataset.val.tolist()
    some = validation_examples(dataset, count=3, context=9)
    assert_within(some, dataset)
    assert all(1 < len(each.ids) <= 9 for each in some)
    picked = [whole.index(each) for each in validation_examples(dataset, count=3, context=10**6)]
    assert picked == [0, (len(whole) - 1) // 2, len(whole) - 1]


@pytest.mark.parametrize("tokenizer", ["char", "gpt2"])
def test_documents_in_files_begin_with_the_start_token(project: Project, tokenizer: str) -> None:
    project.text.unlink()
    for index in range(12):
        (project.folder / "raw" / f"{index}.txt").write_text(f"{PROTOCOL} Nummer {index}\n", encoding="utf-8")
    project.configure({"prepare.source": '"files"', "prepare.tokenizer": f'"{tokenizer}"'})
    dataset = prepared(project)
    found = validation_examples(dataset, count=2, context=30)
    assert [each.kind for each in found] == ["document"] * len(found)
    assert all(each.ids[0] == dataset.tokenizer.start_id and 26 < len(each.ids) <= 30 for each in found)
    assert_within(found, dataset)


def test_documents_that_are_gone_or_changed_are_noticed(project: Project) -> None:
    from tests.integration.finetuning import fine_tuning

    dataset = prepared(fine_tuning(project, "qwen2"))
    path = project.datasets / "val.jsonl"
    path.write_text(path.read_text().replace("Geld", "Gold"))
    for _ in range(2):
        with pytest.raises(DataError, match=r"val\.jsonl is missing or damaged. Run 'prepare' again"):
            validation_examples(dataset, count=1, context=10)
        path.unlink(missing_ok=True)


def test_samples_are_those_of_the_file_and_of_the_report(project: Project) -> None:
    dataset = prepared(project)
    project.ok("train")
    run = Run.open(project.out)
    assert sample_examples(run, dataset.tokenizer, context=100) == []
    project.ok("sample")
    rows = run.samples()
    found = sample_examples(run, dataset.tokenizer, context=100)
    assert [each.text for each in found] == [row.prompt + row.text for row in rows]
    for each in found:
        assert each.kind == "sample"
        assert tuple(dataset.tokenizer.encode(each.text).tolist()) == each.ids
        assert each.fields["step"] == str(rows[0].step)
        assert float(each.fields["temperature"]) == rows[0].options["temperature"]
    project.configure({"report.num_samples": "3"})
    project.ok("report")
    both = sample_examples(run, dataset.tokenizer, context=5)
    reported = json.loads((project.out / "reports" / "report" / "report.json").read_text())
    assert [each.text for each in both[2:]] == [("the" + text)[:5] for text in reported["samples"]]
    assert {len(each.ids) for each in both} == {5}
    assert both[-1].fields["step"] == str(reported["source"]["step"])


def test_damaged_reports_and_texts_of_another_tokenizer_are_left_out(project: Project) -> None:
    dataset = prepared(project)
    project.ok("train")
    project.ok("sample")
    path = project.out / "reports" / "report" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"samples": ["the"], "source": []}')
    samples = project.out / "samples.jsonl"
    first, second = samples.read_text().splitlines()
    samples.write_text(f"{first}\n{json.dumps(json.loads(second) | {'text': 'Übel'})}\n")
    assert len(sample_examples(Run.open(project.out), dataset.tokenizer, context=100)) == 1
