"""Texts to look at a model with: some of its validation text, and what it wrote itself."""

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml_playground.analysis.memory import evenly, passages
from ml_playground.data.store import Dataset, document_file
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import DataError, PromptError
from ml_playground.inference.prompt import encode_prompt
from ml_playground.run.opened import Run
from ml_playground.utils.checksums import sha256_of
from ml_playground.utils.files import read_file
from ml_playground.utils.tables import Table

Kind = Literal["document", "line", "window", "sample"]


@dataclass(frozen=True)
class Example:
    """A text.

    Attributes:
        text: what the tokens stand for.
        ids: its tokens, beginning with the start token if the data has one.
        fields: what is known of it, such as its party and year, by name.
        kind: whether it is a document, a line or a window of the validation text, or a sample of the model.
    """

    text: str
    ids: tuple[int, ...]
    fields: dict[str, str]
    kind: Kind


def validation_examples(dataset: Dataset, count: int, context: int) -> list[Example]:
    """Texts spread evenly over the validation split, each from its beginning.

    They are documents with their fields where the data has such, lines where each line is a document, and otherwise
    windows of the running text.

    Args:
        dataset: prepared data.
        count: how many to take, if there are as many.
        context: most tokens of each. One that is longer is cut, between whole characters.

    Raises:
        DataError: the file with the documents is missing or damaged.
    """
    tokenizer = dataset.tokenizer
    if dataset.manifest.val.documents_sha256 is not None:
        return [_of_document(row, tokenizer, context) for row in _documents(dataset, count)]
    kind: Kind = "window" if tokenizer.start_id is None else "line"
    taken = passages(
        dataset.val,
        start_id=tokenizer.start_id,
        longer_than=int(tokenizer.start_id is not None),
        at_most=min(context, len(dataset.val)),
        count=count,
    )
    return [_example(_whole_characters(ids.tolist(), tokenizer), tokenizer, {}, kind) for ids in taken]


def sample_examples(run: Run, tokenizer: Tokenizer, context: int) -> list[Example]:
    """The texts that a run's model has written: those of `samples.jsonl` with their prompts, and those of its report.

    The fields are the step of the checkpoint and how tokens were chosen. Texts that the tokenizer cannot take are left
    out.

    Args:
        run: with or without samples.
        tokenizer: that of its model.
        context: most tokens of each; one that is longer is cut.
    """
    found: list[Example] = []
    for prompt, text, about in [*_samples(run), *_reported(run)]:
        try:
            ids = [*encode_prompt(prompt, tokenizer), *tokenizer.encode(text).tolist()]
        except PromptError:
            continue
        fields = {name: str(value) for name, value in about.items() if value not in (None, "")}
        found.append(_cut(prompt + text, ids, tokenizer, context, fields, "sample"))
    return found


def _documents(dataset: Dataset, count: int) -> Iterator[dict[str, str]]:
    """Some rows of the file with the validation documents."""
    path = document_file(dataset.folder, "val")
    if not path.is_file() or sha256_of(path) != dataset.manifest.val.documents_sha256:
        raise DataError(f"{path} is missing or damaged. Run 'prepare' again.")
    wanted = set(evenly(dataset.manifest.val.documents, count).tolist())
    with path.open("rb") as file:
        for index, line in enumerate(file):
            if index in wanted:
                yield json.loads(line)


def _of_document(row: dict[str, str], tokenizer: Tokenizer, context: int) -> Example:
    text = row["text"]
    start = [] if tokenizer.start_id is None else [tokenizer.start_id]
    fields = {name: value for name, value in row.items() if name != "text"}
    return _cut(text, [*start, *tokenizer.encode(text).tolist()], tokenizer, context, fields, "document")


def _samples(run: Run) -> Iterator[tuple[str, str, Table]]:
    """Prompts, texts, and what is known of them."""
    for row in run.samples():
        yield row.prompt, row.text, {"step": row.step, **row.options}


def _reported(run: Run) -> Iterator[tuple[str, str, Table]]:
    """The same of the run's report; nothing if there is none."""
    try:
        report: dict[str, Any] = json.loads(read_file(run.directory.report / "report.json"))
        texts, source = report["samples"], report["source"]
        options = dict(source["settings"]["sample"])
        prompt, step = options.pop("prompt"), source["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for text in texts:
        yield prompt, text, {"step": step, **options}


def _cut(
    text: str, ids: Sequence[int], tokenizer: Tokenizer, context: int, fields: dict[str, str], kind: Kind
) -> Example:
    """The example with at most `context` tokens."""
    if len(ids) <= context:
        return Example(text, tuple(ids), fields, kind)
    return _example(_whole_characters(ids[:context], tokenizer), tokenizer, fields, kind)


def _example(ids: Sequence[int], tokenizer: Tokenizer, fields: dict[str, str], kind: Kind) -> Example:
    return Example(tokenizer.decode(ids), tuple(ids), fields, kind)


def _whole_characters(ids: Sequence[int], tokenizer: Tokenizer) -> Sequence[int]:
    """The tokens without those at either end that are only part of a character."""
    raw = [tokenizer.token_bytes(token) for token in ids]
    first, last = 0, len(ids)
    while first < last and raw[first][:1] and raw[first][0] & 0xC0 == 0x80:  # which no character begins with
        first += 1
    while first < last and _is_open(b"".join(raw[max(first, last - 4) : last])):
        last -= 1
    return ids[first:last]


def _is_open(text: bytes) -> bool:
    """Whether bytes end within a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text)
    return bool(decoder.getstate()[0])
