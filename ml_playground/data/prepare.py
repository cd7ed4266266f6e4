"""The work that all preparers share: files of text in, token files and a manifest out.

The text streams several times: to find its encoding, its split and its characters, and to be encoded, by as many
threads as there are processors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ml_playground.config.files import shown
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.documents import Document, in_batches, text_documents
from ml_playground.data.encode import Encoded, SideFiles, encode, in_parallel
from ml_playground.data.fast_tokenizer import TOKENIZER_FILES, FastTokenizer, tokenizer_of_model, write_tokenizer
from ml_playground.data.manifest import (
    FORMAT,
    Manifest,
    Source,
    differences,
    manifest_path,
    read_manifest,
    relative_name,
    settings_of,
    sha256_of,
)
from ml_playground.data.marks import marks_of, without_marks
from ml_playground.data.sources import TABLES, table_files
from ml_playground.data.speeches import SpeechTable
from ml_playground.data.split import DocumentSplit, PositionSplit, Side
from ml_playground.data.store import document_file, token_dtype, token_file, tokenizer_folder
from ml_playground.data.text import TextFile, joined, lines
from ml_playground.data.tokenizers import CharTokenizer, Ids, TiktokenTokenizer, Tokenizer
from ml_playground.errors import DataError
from ml_playground.files import atomic_write, json_text

Split = PositionSplit | DocumentSplit[str] | DocumentSplit[Document]

_SAMPLE = 2**16  # characters
_ADD_DOCUMENTS = (
    "Add files or rows, or set [prepare] doc_separator to what stands between the documents of a text file, such as "
    '"\\n\\n".'
)


def prepare_texts(files: Sequence[Path], config: PrepareConfig) -> Manifest:
    """Make `train.bin`, `val.bin` and `meta.json` from text files, unless exactly that is there already.

    Documents in files and tables are written as `train.jsonl` and `val.jsonl` too, and beside them the tokenizer of a
    model as its library reads it, in `tokenizer/`.

    Args:
        files: the raw text, in the order in which it is joined.
        config: the `[prepare]` section.

    Raises:
        DataError: a file does not decode, or there is too little text to split.
    """
    config.dataset_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(config.dataset_dir / "prepare.lock"):  # a second process waits, and finds it done
        manifest = _up_to_date(files, config)
        if manifest is not None:
            print(f"{shown(config.dataset_dir)}: up to date, nothing to do")
            return manifest
        texts, sources = _find(files, config)
        tables = _tables(texts, config)
        split = _split(texts, tables, config)
        manifest = _write(split, _tokenizer(split, config), sources, tables, config)
    counts = manifest.train.documents, manifest.val.documents
    documents = " in {:,} and {:,} documents".format(*counts) if config.documents == "files" else ""
    print(
        f"wrote {shown(config.dataset_dir)}: {manifest.train.tokens:,} training and {manifest.val.tokens:,} "
        f"validation tokens{documents}, vocabulary of {manifest.vocab_size:,}"
    )
    return manifest


def _find(files: Sequence[Path], config: PrepareConfig) -> tuple[list[TextFile], list[Source]]:
    """The files in their encodings, and what the manifest says of them."""
    texts: list[TextFile] = []
    sources: list[Source] = []
    for file in files:
        text, size = TextFile.find(file, config.encoding), file.stat().st_size
        texts.append(text)
        name = relative_name(file, config.dataset_dir)
        sources.append(Source(path=name, bytes=size, sha256=sha256_of(file), encoding=text.encoding))
        print(f"reading {shown(file)} ({text.encoding}, {size:,} bytes)")
    return texts, sources


def _tables(texts: Sequence[TextFile], config: PrepareConfig) -> dict[Path, SpeechTable]:
    """The tables among the files, with what their columns were taken for; that is printed."""
    files = [text for text in texts if text.path.suffix.lower() in TABLES]
    beside = table_files(config.raw_dir)
    if config.documents == "files" and beside and not files:
        raise DataError(
            f"{config.raw_dir} holds texts and {beside[0].name}, a table: set [prepare] raw_dir to that file, or to a "
            "folder with the texts alone."
        )
    if files and config.documents != "files":
        print('! a table is read as if it were plain text; [prepare] documents = "files" reads the speeches in it')
        return {}
    tables = {file.path: SpeechTable(file) for file in files}
    for table in tables.values():
        taken = ", ".join(what if what == name else f"{what} from {name}" for what, name in table.columns.items())
        print(f"columns: {taken}")
    return tables


def _split(texts: Sequence[TextFile], tables: dict[Path, SpeechTable], config: PrepareConfig) -> Split:
    if config.documents == "files":
        documents = partial(_documents, texts, tables, config, count(1))
        plain: Callable[[Document], str] = partial(Document.plain, config=config)
        return DocumentSplit(
            documents, config.val_fraction, text_of=plain, unit="different documents", advice=_ADD_DOCUMENTS
        )
    stream = partial(_stream, texts, count(1))
    if config.documents == "lines":
        return DocumentSplit(lambda: lines(stream()), config.val_fraction, text_of=str, unit="different lines")
    return PositionSplit(stream, config.val_fraction)


def _stream(texts: Sequence[TextFile], passes: Iterator[int]) -> Iterator[str]:
    """The text in pieces, and on a terminal how far it is read for the how manieth time."""
    with _progress(texts, passes) as bar:
        yield from joined(texts, on_read=bar.update)


def _documents(
    texts: Sequence[TextFile], tables: dict[Path, SpeechTable], config: PrepareConfig, passes: Iterator[int]
) -> Iterator[list[Document]]:
    """Some documents at a time; the rest is as in `_stream`."""
    with _progress(texts, passes) as bar:
        each = (
            tables[text.path].documents(config, on_read=bar.update)
            if text.path in tables
            else text_documents(text, config, on_read=bar.update)
            for text in texts
        )
        yield from in_batches(chain.from_iterable(each))


def _progress(texts: Sequence[TextFile], passes: Iterator[int]) -> "tqdm[NoReturn]":
    size, label = sum(text.path.stat().st_size for text in texts), f"pass {next(passes)}"
    return tqdm(desc=label, total=size, unit="B", unit_scale=True, dynamic_ncols=True, leave=False, disable=None)


def _tokenizer(split: Split, config: PrepareConfig) -> Tokenizer:
    start_token = config.documents != "whole"
    if config.tokenizer == "char":
        texts = split.texts() if config.doc_separator is None else chain(split.texts(), [config.doc_separator])
        return CharTokenizer.of_text(texts, start_token=start_token)
    if config.tokenizer == "huggingface":
        assert config.tokenizer_from is not None  # the configuration is refused otherwise
        marks, revision = marks_of(config), config.tokenizer_revision
        tokenizer = tokenizer_of_model(
            config.tokenizer_from, documents=config.documents, marks=marks, revision=revision
        )
        _tell_of_lost_bytes(tokenizer, without_marks(next(iter(split.texts()), "")[:_SAMPLE], marks))
        return tokenizer
    return TiktokenTokenizer(config.tokenizer, start_token=start_token)


def _tell_of_lost_bytes(tokenizer: Tokenizer, sample: str) -> None:
    """Warn where tokens do not stand for all of a text and for nothing else: their loss per byte is of another text."""
    there, kept = len(sample.encode()), int(tokenizer.byte_lengths()[tokenizer.encode(sample)].sum())
    if there != kept:
        print(f"! of the text's first {there:,} bytes its tokens stand for {kept:,}: bits per byte will be off as much")


def _write(
    split: Split,
    tokenizer: Tokenizer,
    sources: list[Source],
    tables: dict[Path, SpeechTable],
    config: PrepareConfig,
) -> Manifest:
    """Encode both sides and write them with their manifest."""
    folder, dtype = config.dataset_dir, token_dtype(tokenizer.vocab_size)
    to_ids = partial(encode, tokenizer=tokenizer, dtype=dtype)
    in_files = config.documents == "files"
    to_rows: Callable[[list[Any]], Encoded] = to_ids
    if in_files:
        plain = partial(without_marks, marks=marks_of(config))
        to_ids = partial(to_ids, separator=_separator(tokenizer, config), without_marks=plain)
        to_rows = partial(_encode_documents, to_ids=to_ids, config=config)
    # The files take their places at the end of the block, when there is room for all of them; the manifest does so
    # last, and while it has not, the old one does not fit.
    with ExitStack() as stack:
        manifest_file = stack.enter_context(atomic_write(manifest_path(folder)))
        sides = {
            side: SideFiles(stack, token_file(folder, side), document_file(folder, side) if in_files else None)
            for side in ("train", "val")
        }
        parts: Iterator[tuple[Side, list[Any]]] = split.parts(tokenizer.separable)
        for side, encoded in in_parallel(to_rows, parts):
            sides[side].add(encoded)
        infos = {side: files.info(is_running_text=config.documents == "whole") for side, files in sides.items()}
        manifest = Manifest(
            format=FORMAT,
            settings=settings_of(config),
            sources=sources,
            columns={what: name for table in tables.values() for what, name in table.columns.items()},
            tokenizer=tokenizer.describe(),
            vocab_size=tokenizer.vocab_size,
            dtype=dtype.name,
            **infos,
        )
        if in_files and isinstance(tokenizer, FastTokenizer):
            write_tokenizer(tokenizer_folder(folder), tokenizer, config.tokenizer_from or "", config.tokenizer_revision)
        manifest_file.write(json_text(manifest.model_dump()))
        manifest_file.flush()
    return manifest


def _encode_documents(
    documents: list[Document], *, to_ids: Callable[[list[str]], Encoded], config: PrepareConfig
) -> Encoded:
    encoded = to_ids([document.marked(config) for document in documents])
    return encoded._replace(rows=b"".join(document.row(config) for document in documents))


def _separator(tokenizer: Tokenizer, config: PrepareConfig) -> Ids | None:
    """The tokens behind each document; None where the next one's start token is enough."""
    if config.doc_separator is not None:
        return tokenizer.encode_prompt(config.doc_separator)
    if not isinstance(tokenizer, FastTokenizer):
        return None
    if tokenizer.end_id is None:
        raise DataError(
            "the model's tokenizer has no token for the end of a text. Set [prepare] doc_separator to what is to stand "
            'between documents, such as "\n\n".'
        )
    return np.array([tokenizer.end_id])


def _up_to_date(files: Sequence[Path], config: PrepareConfig) -> Manifest | None:
    """The manifest, if sources, settings and token files all are what it says."""
    try:
        manifest = read_manifest(config.dataset_dir)
    except DataError as error:
        print(f"preparing again: {error}")
        return None
    if manifest is None:
        return None
    stale = differences(manifest, config, files)
    for name, split in (("train", manifest.train), ("val", manifest.val)):
        path = token_file(config.dataset_dir, name)
        if not path.is_file() or sha256_of(path) != split.sha256:
            stale.append(f"{path.name} is missing or damaged")
        if config.documents == "files" and not document_file(config.dataset_dir, name).is_file():
            stale.append(f"{name}.jsonl is missing")
    if config.documents == "files" and config.tokenizer == "huggingface":
        file = tokenizer_folder(config.dataset_dir) / TOKENIZER_FILES[0]
        if not file.is_file() or file.read_text(encoding="utf-8") != manifest.tokenizer.get("tokenizer"):
            stale.append("tokenizer/ is missing or another one")
    if stale:
        print(f"preparing again: {'; '.join(stale)}")
    return None if stale else manifest
