"""Mistakes with texts, and with the data that is prepared from them."""

import shutil

import pytest

from ml_playground.data import sources
from tests.acceptance.mistakes.collection import configured, mistake
from tests.full_disk import full_disk
from tests.project import TEXT, Outcome, Project

configured("changed settings of the data", {"prepare.val_fraction": "0.2"})
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
    (project.datasets / "meta.json").write_text('{"format": 4}')
    return project.run("train")


@mistake("no network for a download")
def no_network(project: Project, patch: pytest.MonkeyPatch) -> Outcome:
    unreachable = sources.Download("texts/a.txt", "http://127.0.0.1:9/a.txt", "0123456789abcdef" * 4)
    patch.setattr("pooch.core.time.sleep", lambda _: None)  # the pause between two attempts
    patch.setattr(sources, "TINY_SHAKESPEARE", unreachable)
    patch.setenv("ML_PLAYGROUND_CACHE", str(project.root / "cache"))
    preparer = (project.folder / "prepare.py").read_text()
    preparer = preparer.replace("import find_texts", "import TINY_SHAKESPEARE, fetch")
    (project.folder / "prepare.py").write_text(
        preparer.replace("find_texts(config.raw_dir)", "[fetch(TINY_SHAKESPEARE)]")
    )
    return project.run("prepare")


@mistake("Windows-1252 read as UTF-8")
def wrong_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_bytes("Grüße aus Köln\n".encode("cp1252"))
    return project.run("prepare")


@mistake("bytes that are no text")
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
    project.configure({"prepare.raw_dir": '"tiny/raw/speeches.csv"', "prepare.documents": '"files"'})
    return project.run("prepare")
