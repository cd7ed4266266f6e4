"""Mistakes with texts, and with the data that is prepared from them."""

import os
import shutil

import pytest
from tokenizers import Tokenizer, models

from ml_playground.data import download
from tests.acceptance.mistakes.collection import configured, mistake
from tests.full_disk import full_disk
from tests.project import TEXT, Outcome, Project

configured("changed settings of the data", {"prepare.split.val_fraction": "0.2"})
configured("no text where it should be", {"prepare.raw_dir": '"tiny/texts"'}, "prepare")


@mistake("training before preparing")
def not_prepared(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    shutil.rmtree(project.datasets)
    return project.run("train")


@mistake("text that changed since it was prepared")
def text_changed(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text(TEXT + "one more\n")
    return project.run("train")


@mistake("text shorter than a block")
def short_text(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("too short\n")
    project.configure({"train.data.block_size": "64", "train.runtime.out_dir": '"tiny/out/short"'})
    project.ok("prepare")
    return project.run("train")


@mistake("text too short to split")
def no_split(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("x")
    return project.run("prepare")


@mistake("a token file cut short")
def cut_tokens(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.datasets / "train.bin"
    path.write_bytes(path.read_bytes()[:-100])
    return project.run("train")


@mistake("data from a newer version")
def newer_data(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    (project.datasets / "meta.json").write_text('{"format": 5}')
    return project.run("train")


@mistake("no network for a download")
def no_network(project: Project, patch: pytest.MonkeyPatch) -> Outcome:
    unreachable = download.Download("texts/a.txt", "http://127.0.0.1:9/a.txt", "0123456789abcdef" * 4)
    patch.setattr("pooch.core.time.sleep", lambda _: None)  # the pause between two attempts
    patch.setattr(download, "TINY_SHAKESPEARE", unreachable)
    patch.setenv("ML_PLAYGROUND_CACHE", str(project.root / "cache"))
    preparer = (project.folder / "prepare.py").read_text()
    preparer = f"from ml_playground.data.download import TINY_SHAKESPEARE, fetch\n{preparer}"
    (project.folder / "prepare.py").write_text(preparer.replace("find_texts(config)", "[fetch(TINY_SHAKESPEARE)]"))
    return project.run("prepare")


@mistake("Windows-1252 read as UTF-8")
def wrong_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_bytes("Grüße aus Köln\n".encode("cp1252"))
    return project.run("prepare")


@mistake("bytes that are not text")
def no_text(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_bytes(b"GIF89a\x81\x8d")
    project.configure({"prepare.encoding": '"auto"'})
    return project.run("prepare")


@mistake("a disk that is full when data is prepared")
def disk_full_of_data(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text(TEXT * 10)
    with full_disk(5_000):
        return project.run("prepare")


@mistake("a table without a column of text")
def textless_table(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.with_name("speeches.csv").write_text("Redner,Partei,Worte\nA,B,C\n")
    project.configure({"prepare.raw_dir": '"tiny/raw/speeches.csv"', "prepare.source": '"speeches"'})
    return project.run("prepare")


@mistake("one bad byte in a text in UTF-8")
def one_bad_byte(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_bytes("Grüße aus Köln\n".encode() * 9 + b"\xff\n")
    project.configure({"prepare.encoding": '"auto"'})
    return project.run("prepare")


@mistake("UTF-8 read as Windows-1252")
def read_as_windows(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("Grüße aus Köln\n", encoding="utf-8")
    project.configure({"prepare.encoding": '"cp1252"'})
    return project.run("prepare")


@mistake("UTF-8 encoded twice")
def encoded_twice(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("Grüße\n".encode().decode("cp1252") * 9, encoding="utf-8")
    return project.run("prepare")


@mistake("UTF-16 read as UTF-8")
def read_as_utf8(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("a text", encoding="utf-16-le")
    return project.run("prepare")


@mistake("a named pipe among the texts")
def a_pipe(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    os.mkfifo(project.text.with_name("x.txt"))
    return project.run("prepare")


@mistake("a link that leads nowhere among the texts")
def a_broken_link(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.with_name("more").symlink_to("nowhere")
    return project.run("prepare")


@mistake("files of other kinds alone")
def other_endings(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    folder = project.folder / "notes"
    folder.mkdir()
    (folder / "a.md").touch()
    project.configure({"prepare.raw_dir": '"tiny/notes"'})
    return project.run("prepare")


@mistake("a table with two columns of text")
def two_texts(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.with_name("speeches.csv").write_text("id,Text,text\n1,label,words\n")
    project.configure({"prepare.raw_dir": '"tiny/raw/speeches.csv"', "prepare.source": '"speeches"'})
    return project.run("prepare")


@mistake("a row that is cut short")
def short_row(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.with_name("speeches.csv").write_text('"Redner","Rede\n(Volltext)"\nA,eins\nB\n')
    project.configure({"prepare.raw_dir": '"tiny/raw/speeches.csv"', "prepare.source": '"speeches"'})
    return project.run("prepare")


@mistake("a manifest with a changed letter")
def altered_manifest(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.datasets / "meta.json"
    path.write_text(path.read_text().replace('"b"', '"B"'))
    return project.run("train")


@mistake("a manifest that is not JSON")
def broken_manifest(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    (project.datasets / "meta.json").write_bytes(b"\xff{")
    return project.run("train")


configured("splitting each file where lines are documents", {"prepare.split": '"files"', "prepare.source": '"lines"'})


@mistake("a text that a model's tokenizer has no tokens for")
def no_tokens(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    model = project.root / "model"
    model.mkdir()
    Tokenizer(models.Unigram([("<unk>", 0.0), *((letter, -1.0) for letter in "the catsi")], 0, False)).save(
        str(model / "tokenizer.json")
    )
    project.configure({"prepare.tokenizer": '{kind = "huggingface", model = "model"}'})
    project.text.write_text("the cat sits\n" * 90 + "ЖЖЖ" * 90, encoding="utf-8")
    return project.run("prepare")
