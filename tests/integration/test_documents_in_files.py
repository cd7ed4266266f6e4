"""Data for fine-tuning: documents from files and tables, in a model's own tokens."""

import csv
import json
import os
import re
import shutil
from typing import Any

import pytest
from transformers import AutoTokenizer

from ml_playground.config.load import load_config
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.data.tokenizers.huggingface import FastTokenizer
from tests.integration.finetuning import fine_tuning, speech_table, speeches
from tests.project import Project

FIELDS = ["speaker", "party", "year", "topic"]
MARKS = ["<speaker>", "<party>", "<year>", "<topic>", "<speech>", "</speech>"]


@pytest.fixture(params=["qwen2", "gemma3", "llama"])
def table(project: Project, request: pytest.FixtureRequest) -> Project:
    return fine_tuning(project, request.param)


@pytest.fixture
def texts(project: Project) -> Project:
    """The same with text files instead."""
    fine_tuning(project, "llama")
    project.text.unlink()
    (project.folder / "raw" / "speeches.csv").unlink()
    for index, speech in enumerate(speeches(20)):
        path = project.folder / "raw" / f"{index % 2}" / f"{index}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(speech + "\n", encoding="utf-8")
    changes = {"raw_dir": '"tiny/raw"', "source": '"files"', "add_structure_tokens": "false"}
    project.configure({f"prepare.{key}": value for key, value in changes.items()})
    return project


def opened(project: Project) -> tuple[Dataset, FastTokenizer]:
    config = load_config(project.config, name="tiny", folder=project.folder)
    dataset = open_dataset(config.prepare.dataset_dir, config.prepare)
    assert isinstance(dataset.tokenizer, FastTokenizer)
    return dataset, dataset.tokenizer


def rows(project: Project, side: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.datasets / f"{side}.jsonl").read_text().splitlines()]


def test_a_table_becomes_tokens_documents_and_a_tokenizer(table: Project) -> None:
    said = table.ok("prepare").out
    found = "text from Speech, speaker from Speaker, party from Party, date from Date, interjection from Interjection"
    assert f"columns: {found}, chair from Chair\n" in said
    meta = json.loads((table.datasets / "meta.json").read_text())
    assert meta["columns"]["text"] == "Speech"
    dataset, tokenizer = opened(table)
    theirs = AutoTokenizer.from_pretrained(table.datasets / "tokenizer")
    assert theirs.convert_tokens_to_ids(MARKS) == [tokenizer.encode(mark).item() for mark in MARKS]
    for side, tokens in (("train", dataset.train), ("val", dataset.val)):
        assert tokenizer.end_id is not None
        start = [] if tokenizer.start_id is None else [tokenizer.start_id]
        packed: list[int] = []
        for row in rows(table, side):
            packed += [*start, *theirs.encode(row["text"], add_special_tokens=False), tokenizer.end_id]
        assert tokens.tolist() == packed
    assert meta["train"]["documents"] + meta["val"]["documents"] == 60
    assert meta["val"]["documents"] == 6


def test_a_document_is_wrapped_in_what_is_known_of_it(table: Project) -> None:
    table.ok("prepare")
    for row in rows(table, "val") + rows(table, "train"):
        known = "".join(f"<{name}>{row[name]}" for name in ("speaker", "party", "year") if name in row)
        assert row["text"].startswith(f"{known}<speech>")
        assert row["text"].endswith("</speech>")
    assert "party" not in next(row for row in rows(table, "train") if row["speaker"] == "Präsidentin Bas")


def test_bytes_are_those_of_the_table_whatever_tokens_stand_around_them(table: Project) -> None:
    table.ok("prepare")
    dataset, tokenizer = opened(table)
    cells = sum(len(row["Speech"].encode()) + 1 for row in csv.DictReader(speech_table().splitlines()))
    known = [row[name] for side in ("train", "val") for row in rows(table, side) for name in FIELDS if name in row]
    both = dataset.manifest.train.bytes + dataset.manifest.val.bytes
    assert both == cells + sum(len(value.encode()) for value in known)
    assert all(mark in tokenizer.decode(dataset.val.tolist()) for mark in MARKS if mark != "<topic>")
    table.configure({"prepare.add_structure_tokens": "false"})
    table.ok("prepare")
    dataset, _ = opened(table)
    assert dataset.manifest.train.bytes + dataset.manifest.val.bytes == cells


def test_only_the_fields_that_are_named_have_tokens(table: Project) -> None:
    table.configure({"prepare.add_structure_tokens": '["year", "speaker"]'})
    table.ok("prepare")
    for row in rows(table, "val"):
        assert row["text"].startswith(f"<year>{row['year']}<speaker>{row['speaker']}<speech>")
    _, tokenizer = opened(table)
    assert list(tokenizer.marks) == ["<year>", "<speaker>", "<speech>", "</speech>"]


def test_the_split_is_by_document_and_always_the_same(table: Project) -> None:
    table.ok("prepare")
    before = {side: rows(table, side) for side in ("train", "val")}
    lines = speech_table().splitlines(keepends=True)
    shuffled = [lines[0], *(line for at in range(len(lines) - 3, 0, -3) for line in lines[at : at + 3])]
    (table.folder / "raw" / "speeches.csv").write_text("".join(shuffled), encoding="utf-8")
    assert "speeches.csv has changed" in table.ok("prepare").out
    for side in ("train", "val"):
        assert sorted(row["text"] for row in rows(table, side)) == sorted(row["text"] for row in before[side])


@pytest.mark.parametrize("gone", ["val.jsonl", "tokenizer"])
def test_what_was_removed_is_made_again(texts: Project, gone: str) -> None:
    texts.ok("prepare")
    assert "up to date" in texts.ok("prepare").out
    path = texts.datasets / gone
    before = {each: each.read_bytes() for each in ([path] if path.is_file() else path.iterdir())}
    for each in before:
        each.unlink()
    if path.is_dir():
        path.rmdir()
    assert "is missing" in texts.ok("prepare").out
    assert before == {each: each.read_bytes() for each in before}


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
@pytest.mark.parametrize("harm", ["flipped", "bad bytes", "empty", "gone", "a pipe"])
def test_a_damaged_tokenizer_is_not_used_and_made_again(texts: Project, name: str, harm: str) -> None:
    texts.ok("prepare")
    whole = {path.name: path.read_bytes() for path in (texts.datasets / "tokenizer").iterdir()}
    path = texts.datasets / "tokenizer" / name
    before = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    if harm == "a pipe":
        os.mkfifo(path)
    elif harm != "gone":
        flipped = bytes([before[0] ^ 1]) + before[1:] if before else b"added"
        path.write_bytes({"flipped": flipped, "bad bytes": b"\xff\xfe", "empty": b""}[harm])
    if name in whole or harm not in ("gone", "a pipe"):  # what is not read is not missed
        refused = texts.run("train")
        assert refused.code == 2
        assert "datasets/tokenizer: damaged, or not what 'prepare' wrote. Run 'prepare' again." in refused.err
        assert "preparing again: tokenizer/ is missing or another one, or damaged" in texts.ok("prepare").out
    opened(texts)
    if path.is_file() or name in whole:
        assert {path.name: path.read_bytes() for path in (texts.datasets / "tokenizer").iterdir()} == whole


@pytest.mark.parametrize("what", ["a file", "a broken link"])
def test_what_takes_the_place_of_the_tokenizer_is_put_aside(texts: Project, what: str) -> None:
    texts.ok("prepare")
    folder = texts.datasets / "tokenizer"
    shutil.rmtree(folder)
    if what == "a file":
        folder.write_text("mine")
    else:
        folder.symlink_to("nowhere")
    assert texts.run("train").code == 2
    assert "tokenizer was not a folder; it is now tokenizer.damaged" in texts.ok("prepare").out
    opened(texts)


def test_damaged_documents_are_made_again(texts: Project) -> None:
    texts.ok("prepare")
    path = texts.datasets / "val.jsonl"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"text", b"tixt"))
    assert "preparing again: val.jsonl is missing or damaged" in texts.ok("prepare").out
    assert path.read_bytes() == before


def test_each_text_file_is_a_document(texts: Project) -> None:
    texts.ok("prepare")
    assert len(rows(texts, "train")) == 18
    assert sorted(row["text"] for side in ("train", "val") for row in rows(texts, side)) == sorted(speeches(20))


def test_a_separator_stands_between_documents_before_and_after(texts: Project) -> None:
    one = texts.folder / "raw" / "all.txt"
    one.write_text("\n---\n".join(speeches(30)), encoding="utf-8")
    texts.configure({"prepare.raw_dir": '"tiny/raw/all.txt"', "prepare.doc_separator": '"\\n---\\n"'})
    texts.ok("prepare")
    dataset, tokenizer = opened(texts)
    assert len(rows(texts, "val")) == 3
    whole = "".join(f"{row['text']}\n---\n" for row in rows(texts, "val"))
    assert tokenizer.decode(dataset.val.tolist()) == whole
    assert tokenizer.end_id not in dataset.val


def test_a_separator_may_be_a_token_of_the_models(texts: Project) -> None:
    texts.configure({"prepare.doc_separator": '"<|begin_of_text|>"'})
    texts.ok("prepare")
    dataset, tokenizer = opened(texts)
    assert dataset.val[-1] == tokenizer.start_id


def test_one_document_cannot_be_split(texts: Project) -> None:
    one = texts.folder / "raw" / "all.txt"
    one.write_text("Nur ein Text.", encoding="utf-8")
    texts.configure({"prepare.raw_dir": '"tiny/raw/all.txt"'})
    refused = texts.run("prepare")
    assert refused.code == 2
    assert "too little text to split (1 different documents)" in refused.err
    assert "set [prepare] doc_separator to what is between the documents of a text file" in refused.err


def test_characters_and_gpt2s_tokens_know_documents_too(texts: Project) -> None:
    changes = {"prepare.tokenizer": '"char"', "train.hf_model.model_name": "", "prepare.doc_separator": '"#"'}
    config = texts.config.read_text()
    texts.config.write_text(config.split("[train.hf_model]")[0] + '[train.runtime]\nmax_iters = 1\ndevice = "cpu"\n')
    texts.configure({key: value for key, value in changes.items() if value})
    texts.ok("prepare")
    config_now = load_config(texts.config, name="tiny", folder=texts.folder)
    dataset = open_dataset(config_now.prepare.dataset_dir, config_now.prepare)
    start = dataset.tokenizer.start_id
    assert start is not None
    assert dataset.val[0] == start
    assert dataset.tokenizer.decode(dataset.val.tolist()) == "".join(f"{row['text']}#" for row in rows(texts, "val"))
    assert not (texts.datasets / "tokenizer").exists()


def test_texts_beside_a_table_are_left_out_and_named(table: Project) -> None:
    table.configure({"prepare.raw_dir": '"tiny/raw"'})
    assert "input.txt: with other endings than .csv and .tsv" in table.ok("prepare").out
    (table.folder / "raw" / "more.csv").write_text("text\nWort\n")
    assert "more.csv is new" in table.run("train").err


def test_tokens_for_the_structure_move_no_document_to_the_other_side(table: Project) -> None:
    sides: list[set[str]] = []
    for marked in ("true", "false"):
        how = "tag" if marked == "true" else "keep"
        source = f'{{kind = "speeches", interjections = "{how}"}}'
        table.configure({"prepare.add_structure_tokens": marked, "prepare.source": source})
        table.ok("prepare")
        texts = [re.sub(r"^.*<speech>|</?\w+>", "", row["text"]) for row in rows(table, "val")]
        sides.append({text.replace("\n", " ") for text in texts})
    assert sides[0] == sides[1]


def test_what_looks_like_a_token_for_structure_is_left_out_of_texts(texts: Project) -> None:
    texts.configure({"prepare.add_structure_tokens": "true"})
    (texts.folder / "raw" / "0" / "0.txt").write_text("Vor<text>zug</text>sweise <b>fett</b>.")
    texts.ok("prepare")
    everything = [row["text"] for side in ("train", "val") for row in rows(texts, side)]
    assert "<text>Vorzugsweise <b>fett</b>.</text>" in everything


def test_another_tokenizer_in_its_place_is_noticed(texts: Project) -> None:
    texts.ok("prepare")
    path = texts.datasets / "tokenizer" / "tokenizer.json"
    before = path.read_text()
    path.write_text(before.replace("Antrag", "Antrog"))
    assert "tokenizer/ is missing or another one" in texts.ok("prepare").out
    assert path.read_text() == before
