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
from tqdm import tqdm

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.documents import Document, in_batches, text_documents
from ml_playground.data.encode import Encoded, SideFiles, encode, in_parallel
from ml_playground.data.fast_tokenizer import FastTokenizer
from ml_playground.data.folders import TABLES, contents_of, require_file
from ml_playground.data.manifest import (
    FORMAT,
    Manifest,
    Source,
    differences,
    manifest_path,
    manifest_text,
    read_manifest,
    settings_of,
)
from ml_playground.data.marks import marks_of, without_marks
from ml_playground.data.model_tokenizer import tokenizer_of_model, write_tokenizer
from ml_playground.data.reports import lost_share, warn_of_sides, warn_of_unseen
from ml_playground.data.sources import Download, fetch
from ml_playground.data.speeches import SpeechTable
from ml_playground.data.split import DocumentSplit, PositionSplit, Side
from ml_playground.data.store import document_file, token_dtype, token_file, tokenizer_files, tokenizer_folder
from ml_playground.data.text import TextFile, joined, lines
from ml_playground.data.tokenizers import CharTokenizer, Ids, TiktokenTokenizer, Tokenizer
from ml_playground.errors import DataError
from ml_playground.utils.checksums import sha256_of
from ml_playground.utils.files import atomic_write
from ml_playground.utils.locks import locked
from ml_playground.utils.paths import shown

Split = PositionSplit | DocumentSplit[str] | DocumentSplit[Document]

_ADD_DOCUMENTS = (
    "Add files or rows, or set [prepare] doc_separator to what stands between the documents of a text file, such as "
    '"\\n\\n".'
)


def prepare_texts(files: Sequence[Path], config: PrepareConfig) -> Manifest:
    """Make `train.bin`, `val.bin` and `meta.json` from text files, unless exactly that is there already.

    Documents in files and tables are written as `train.jsonl` and `val.jsonl` too, and the tokenizer of a model as its
    library reads it, in `tokenizer/`. Nothing is written where nothing is to be done.

    Args:
        files: the raw text, in the order in which it is joined.
        config: the `[prepare]` section.

    Raises:
        DataError: a file does not decode, or there is too little text to split.
    """
    for file in files:
        require_file(file)
    manifest, _ = _there(files, config)
    if manifest is not None:
        return _nothing_to_do(manifest, config)
    config.dataset_dir.mkdir(parents=True, exist_ok=True)
    with locked(config.dataset_dir / "prepare.lock", wait=True):  # a second process waits, and finds it done
        manifest, why_not = _there(files, config)
        if manifest is not None:
            return _nothing_to_do(manifest, config)
        if why_not:
            print(f"preparing again: {'; '.join(why_not)}".encode(errors="backslashreplace").decode())
        texts, sources = _find(files, config)
        tables = _tables(texts, config)
        split = _split(texts, tables, config)
        manifest = _write(split, _tokenizer(split, config), sources, tables, config)
        for file, source in zip(files, sources, strict=True):
            if source.has_changed(file):
                raise DataError(f"{file} has changed while it was read. Run 'prepare' again.")
    if isinstance(split, PositionSplit):
        warn_of_unseen({texts[index].path: share for index, share in split.unseen.items()})
    counts = manifest.train.documents, manifest.val.documents
    documents = " in {:,} and {:,} documents".format(*counts) if config.documents == "files" else ""
    print(
        f"wrote {shown(config.dataset_dir)}: {manifest.train.tokens:,} training and {manifest.val.tokens:,} "
        f"validation tokens{documents}, vocabulary of {manifest.vocab_size:,}"
    )
    return manifest


def _nothing_to_do(manifest: Manifest, config: PrepareConfig) -> Manifest:
    print(f"{shown(config.dataset_dir)}: up to date, nothing to do")
    return manifest


def prepare_download(download: Download, config: PrepareConfig) -> Manifest:
    """As `prepare_texts`, of one downloaded file; what is up to date needs neither network nor the file itself.

    Raises:
        DataError: it could not be downloaded, or there is too little text to split.
    """
    found, _ = _there(None, config)
    if found is not None and [each.sha256 for each in found.sources] == [download.sha256]:
        return _nothing_to_do(found, config)
    return prepare_texts([fetch(download)], config)


def _find(files: Sequence[Path], config: PrepareConfig) -> tuple[list[TextFile], list[Source]]:
    """The files in their encodings, and what the manifest says of them."""
    texts: list[TextFile] = []
    sources: list[Source] = []
    for file in files:
        text = TextFile.find(file, config.encoding)
        source = Source.of(file, text.encoding, config.dataset_dir)
        texts.append(text)
        sources.append(source)
        print(f"reading {shown(file)} ({text.encoding}, {source.bytes:,} bytes)")
        if text.doubts:
            print(f"! it holds characters that come of reading text in a wrong encoding: {text.doubts}")
    return texts, sources


def _tables(texts: Sequence[TextFile], config: PrepareConfig) -> dict[Path, SpeechTable]:
    """The tables among the files, with what their columns were taken for; that is printed."""
    files = [text for text in texts if text.path.suffix.lower() in TABLES]
    beside = contents_of(config.raw_dir).tables
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
        return DocumentSplit(
            lambda: lines(piece for _, piece in stream()), config.val_fraction, text_of=str, unit="different lines"
        )
    return PositionSplit(stream, config.val_fraction, each_file=config.split == "files")


def _stream(texts: Sequence[TextFile], passes: Iterator[int]) -> Iterator[tuple[int, str]]:
    """The text in pieces by file, and on a terminal a progress bar with the number of the pass."""
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
        return tokenizer_of_model(config.tokenizer_from, documents=config.documents, marks=marks, revision=revision)
    return TiktokenTokenizer(config.tokenizer, start_token=start_token)


def _write(
    split: Split,
    tokenizer: Tokenizer,
    sources: list[Source],
    tables: dict[Path, SpeechTable],
    config: PrepareConfig,
) -> Manifest:
    """Encode both sides and write them with their manifest."""
    folder, dtype = config.dataset_dir, token_dtype(tokenizer.vocab_size)
    in_files, to_rows = config.documents == "files", _encoder(tokenizer, dtype, config)
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
        written = {side: files.written for side, files in sides.items()}
        lost = lost_share(list(written.values()), config)
        infos = {side: files.info(is_running_text=config.documents == "whole") for side, files in sides.items()}
        if isinstance(tokenizer, FastTokenizer):
            _put_aside(tokenizer_folder(folder))
            write_tokenizer(tokenizer_folder(folder), tokenizer, config.tokenizer_from or "", config.tokenizer_revision)
        manifest = Manifest(
            format=FORMAT,
            settings=settings_of(config),
            sources=sources,
            columns={what: name for table in tables.values() for what, name in table.columns.items()},
            tokenizer=tokenizer.describe(),
            tokenizer_files=tokenizer_files(tokenizer_folder(folder)) if isinstance(tokenizer, FastTokenizer) else {},
            lost=lost,
            vocab_size=tokenizer.vocab_size,
            dtype=dtype.name,
            **infos,
        )
        manifest_file.write(manifest_text(manifest))
        manifest_file.flush()
    if config.documents != "whole":
        warn_of_sides(written["train"], written["val"], config)
    return manifest


def _encoder(
    tokenizer: Tokenizer, dtype: np.dtype[np.unsignedinteger], config: PrepareConfig
) -> Callable[[list[Any]], Encoded]:
    """What makes ids of some documents, as `[prepare] documents` has them."""
    lengths = tokenizer.byte_lengths() if isinstance(tokenizer, FastTokenizer) else None  # others lose nothing
    to_ids = partial(encode, tokenizer=tokenizer, dtype=dtype, lengths=lengths)
    if config.documents != "files":
        return to_ids
    plain = partial(without_marks, marks=marks_of(config))
    to_ids = partial(to_ids, separator=_separator(tokenizer, config), without_marks=plain)
    return partial(_encode_documents, to_ids=to_ids, config=config)


def _put_aside(folder: Path) -> None:
    """Make room where something that is not a folder has the name of one."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        aside = folder.with_name(f"{folder.name}.damaged")
        folder.replace(aside)
        print(f"! {shown(folder)} was not a folder; it is {aside.name} now")


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
            'between documents, such as "\\n\\n".'
        )
    return np.array([tokenizer.end_id])


def _there(files: Sequence[Path] | None, config: PrepareConfig) -> tuple[Manifest | None, list[str]]:
    """The manifest, if sources, settings and all prepared files are what it says; else why there is none."""
    folder = config.dataset_dir
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        return None, [str(error)]
    if manifest is None:
        return None, []
    stale = differences(manifest, config, files)
    for name, split in (("train", manifest.train), ("val", manifest.val)):
        written = {token_file(folder, name): split.sha256, document_file(folder, name): split.documents_sha256}
        for path, sha256 in written.items():
            if sha256 is not None and (not path.is_file() or sha256_of(path) != sha256):
                stale.append(f"{path.name} is missing or damaged")
    if manifest.tokenizer_files and tokenizer_files(tokenizer_folder(folder)) != manifest.tokenizer_files:
        stale.append("tokenizer/ is missing or another one, or damaged")
    return (None if stale else manifest), stale
