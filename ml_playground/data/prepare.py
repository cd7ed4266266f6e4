"""What all preparers share: text files in, token files and a manifest out.

The text streams several times: to find its encoding, its split and its characters, and to be encoded, by as many
threads as there are processors.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from ml_playground.config.registries import SOURCES
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.document import Document, Structure, in_batches
from ml_playground.data.download import Download, fetch
from ml_playground.data.encode import Encoded, SideFiles, encode, in_parallel
from ml_playground.data.folders import contents_of, require_file, why_unreadable
from ml_playground.data.manifest import (
    FORMAT,
    Manifest,
    RawFile,
    differences,
    manifest_path,
    manifest_text,
    read_manifest,
    settings_of,
)
from ml_playground.data.reports import lost_share, warn_of_sides, warn_of_unseen
from ml_playground.data.sources.base import Documents, RunningText, source_of
from ml_playground.data.split import SIDES, Side, Split
from ml_playground.data.splits import DocumentsSplit, TextSplit, split_of
from ml_playground.data.store import document_file, token_dtype, token_file, tokenizer_files, tokenizer_folder
from ml_playground.data.text import TextFile
from ml_playground.data.tokenizers.base import Ids, Tokenizer
from ml_playground.data.tokenizers.options import Texts, tokenizer_options
from ml_playground.errors import DataError, TooLittleTextError
from ml_playground.utils.checksums import sha256_of
from ml_playground.utils.files import atomic_write
from ml_playground.utils.locks import locked
from ml_playground.utils.paths import display_path


def find_texts(config: PrepareConfig) -> list[Path]:
    """The files below `raw_dir` that the source reads, in the order of their names, or the one that `raw_dir` names.

    What is in the folder and not read is printed.

    Raises:
        DataError: there is none, or something that should be read cannot be.
    """
    raw_dir, source = config.raw_dir, source_of(config)
    if raw_dir.is_file():
        return [raw_dir]
    if (raw_dir.exists() or raw_dir.is_symlink()) and (why := why_unreadable(raw_dir, or_folder=True)) is not None:
        raise DataError(f"{raw_dir} {why}. Set [prepare] raw_dir to a file of text, or to a folder with some.")
    found = contents_of(raw_dir, source.endings)
    if found.unreadable:
        raise DataError(f"{'; '.join(found.unreadable)}. Fix that, or move it out of {raw_dir}.")
    if source.one_file and len(found.found) > 1:
        raise DataError(f"{raw_dir} holds {len(found.found)} tables: set [prepare] raw_dir to one of them.")
    left_out = found.left_out(raw_dir)
    if not found.found:
        endings = " or ".join(source.endings)
        what = f"one {endings} file" if source.one_file else f"any number of {endings} files, in subfolders too"
        others = sorted({kind for path in found.others for kind in _readers(path)})
        hints = f"; or set [prepare] source to {' or '.join(map(json.dumps, others))}" if others else ""
        nothing = (
            f"no text in {raw_dir}. Put your text there: {what}; or set [prepare] raw_dir to the folder that has it"
            f"{hints}."
        )
        raise DataError("\n".join([nothing, *left_out]))
    if left_out:
        print("\n".join(left_out))
    return found.found


def prepare_texts(files: Sequence[Path], config: PrepareConfig) -> Manifest:
    """Make `train.bin`, `val.bin` and `meta.json` from text files, unless exactly that is there already.

    Documents in files and tables are written as `train.jsonl` and `val.jsonl` too, and the tokenizer of a model as its
    library reads it, in `tokenizer/`. Nothing is written where nothing is to be done.

    Args:
        files: the raw text, in order.
        config: the `[prepare]` section.

    Raises:
        DataError: a file does not decode, or there is too little text to split.
    """
    for file in files:
        require_file(file)
    before = _contents(manifest_path(config.dataset_dir))
    manifest, why_not = _there(files, config)
    if manifest is not None:
        return _nothing_to_do(manifest, config)
    config.dataset_dir.mkdir(parents=True, exist_ok=True)
    with locked(config.dataset_dir / "prepare.lock", wait=True):  # a second process waits, then finds it done
        if _contents(manifest_path(config.dataset_dir)) != before:
            manifest, why_not = _there(files, config)
        if manifest is not None:
            return _nothing_to_do(manifest, config)
        if why_not:
            print(f"preparing again: {'; '.join(why_not)}".encode(errors="backslashreplace").decode())
        texts, sources = _find(files, config)
        columns = _columns(texts, config)
        split = _split(texts, config)
        manifest = _write(split, _tokenizer(split, config), sources, columns, config)
        for file, source in zip(files, sources, strict=True):
            if source.has_changed(file):
                raise DataError(f"{file} has changed while it was read. Run 'prepare' again.")
    if split.unseen:
        warn_of_unseen({texts[index].path: share for index, share in split.unseen.items()})
    counts = manifest.train.documents, manifest.val.documents
    documents = " in {:,} and {:,} documents".format(*counts) if config.source.packing == "ended" else ""
    print(
        f"wrote {display_path(config.dataset_dir)}: {manifest.train.tokens:,} training and {manifest.val.tokens:,} "
        f"validation tokens{documents}, vocabulary of {manifest.vocab_size:,}"
    )
    return manifest


def _nothing_to_do(manifest: Manifest, config: PrepareConfig) -> Manifest:
    print(f"{display_path(config.dataset_dir)}: up to date, nothing to do")
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


def _find(files: Sequence[Path], config: PrepareConfig) -> tuple[list[TextFile], list[RawFile]]:
    """The files in their encodings, and what the manifest says of them."""
    texts: list[TextFile] = []
    sources: list[RawFile] = []
    for file in files:
        text = TextFile.find(file, config.encoding)
        source = RawFile.of(file, text.encoding, config.dataset_dir)
        texts.append(text)
        sources.append(source)
        print(f"reading {display_path(file)} ({text.encoding}, {source.bytes:,} bytes)")
        if text.doubts:
            print(f"! it contains characters that suggest a wrong encoding: {text.doubts}")
    return texts, sources


def _columns(texts: Sequence[TextFile], config: PrepareConfig) -> dict[str, str]:
    """How the columns of tables were understood, which is printed."""
    source = source_of(config)
    found: dict[str, str] = {}
    for text in texts:
        others = _readers(text.path)
        if others and text.path.suffix.lower() not in source.endings:
            print(
                f"! {display_path(text.path)} is read as if it were plain text; "
                f"[prepare] source = {' or '.join(map(json.dumps, others))} reads {text.path.suffix.lower()} files"
            )
        if columns := source.columns(text):
            taken = (what if what == name else f"{what} from {name}" for what, name in columns.items())
            print(f"columns: {', '.join(taken)}")
        found |= columns
    return found


def _readers(path: Path) -> list[str]:
    """The kinds of source that read such files."""
    return [kind for kind in SOURCES if path.suffix.lower() in SOURCES.load(kind).endings]


def _split(texts: Sequence[TextFile], config: PrepareConfig) -> Split:
    source, split = source_of(config), split_of(config)
    if isinstance(source, Documents):
        assert isinstance(split, DocumentsSplit)  # the configuration is refused otherwise
        try:
            return split.build(partial(_documents, source, texts, config, count(1)), Structure.of(config).plain)
        except TooLittleTextError as error:
            raise DataError(f"{error} {source.more_documents}".rstrip()) from error
    assert isinstance(source, RunningText)
    assert isinstance(split, TextSplit)
    return split.build(partial(_pieces, source, texts, count(1)))


def _pieces(source: RunningText, texts: Sequence[TextFile], passes: Iterator[int]) -> Iterator[tuple[int, str]]:
    """The text in pieces by file, and on a terminal a progress bar with the number of the pass."""
    with _progress(texts, passes) as bar:
        for index, text in enumerate(texts):
            for piece in source.pieces(text, bar.update):
                yield index, piece


def _documents(
    source: Documents, texts: Sequence[TextFile], config: PrepareConfig, passes: Iterator[int]
) -> Iterator[list[Document]]:
    """Documents in batches, otherwise like `_pieces`."""
    with _progress(texts, passes) as bar:
        each = (source.documents(text, config, bar.update) for text in texts)
        yield from in_batches(chain.from_iterable(each))


def _progress(texts: Sequence[TextFile], passes: Iterator[int]) -> "tqdm[NoReturn]":
    size, label = sum(text.path.stat().st_size for text in texts), f"pass {next(passes)}"
    return tqdm(desc=label, total=size, unit="B", unit_scale=True, dynamic_ncols=True, leave=False, disable=None)


def _tokenizer(split: Split, config: PrepareConfig) -> Tokenizer:
    structure, separator = Structure.of(config), config.doc_separator or ""
    texts = Texts(lambda: chain(split.texts(), [separator]), config.source.packing, structure.tokens, structure.last)
    return tokenizer_options(config).build(texts)


def _write(
    split: Split, tokenizer: Tokenizer, sources: list[RawFile], columns: dict[str, str], config: PrepareConfig
) -> Manifest:
    """Encode both sides and write them with their manifest."""
    folder, dtype = config.dataset_dir, token_dtype(tokenizer.vocab_size)
    has_rows, to_ids = config.source.packing == "ended", _encoder(tokenizer, dtype, config)
    # The files take their places at the end of the block, when there is room for all of them; the manifest does so
    # last, and while it has not, the old one does not fit.
    with ExitStack() as stack:
        manifest_file = stack.enter_context(atomic_write(manifest_path(folder)))
        sides: dict[Side, SideFiles] = {
            side: SideFiles(stack, token_file(folder, side), document_file(folder, side) if has_rows else None)
            for side in SIDES
        }
        for side, encoded in in_parallel(to_ids, split.parts(tokenizer.safe_chunks)):
            sides[side].add(encoded)
        written = {side: files.written for side, files in sides.items()}
        lost = lost_share(list(written.values()), config)
        is_running_text = config.source.packing == "running"
        infos = {
            side: files.info(is_running_text=is_running_text, added=split.added[side]) for side, files in sides.items()
        }
        if tokenizer.has_folder:
            _put_aside(tokenizer_folder(folder))
            tokenizer_options(config).write(tokenizer, tokenizer_folder(folder))
        manifest = Manifest(
            format=FORMAT,
            settings=settings_of(config),
            sources=sources,
            columns=columns,
            tokenizer=tokenizer.describe(),
            tokenizer_files=tokenizer_files(tokenizer_folder(folder)) if tokenizer.has_folder else {},
            lost=lost,
            vocab_size=tokenizer.vocab_size,
            dtype=dtype.name,
            **infos,
        )
        manifest_file.write(manifest_text(manifest))
        manifest_file.flush()
    if not is_running_text and (share := split_of(config).share) is not None:
        warn_of_sides(written["train"], written["val"], share)
    return manifest


def _encoder(
    tokenizer: Tokenizer, dtype: np.dtype[np.unsignedinteger], config: PrepareConfig
) -> Callable[[list[Document]], Encoded]:
    """What makes ids of some documents, as the source has them."""
    ended = config.source.packing == "ended"
    return partial(
        encode,
        tokenizer=tokenizer,
        dtype=dtype,
        structure=Structure.of(config),
        separator=_separator(tokenizer, config) if ended else None,
        with_rows=ended,
    )


def _put_aside(folder: Path) -> None:
    """Make room where something that is not a folder has the name of one."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        aside = folder.with_name(f"{folder.name}.damaged")
        folder.replace(aside)
        print(f"! {display_path(folder)} was not a folder; it is now {aside.name}")


def _separator(tokenizer: Tokenizer, config: PrepareConfig) -> Ids | None:
    """The tokens after each document; None where the next one's start token is enough."""
    if config.doc_separator is not None:
        return tokenizer.encode_prompt(config.doc_separator)
    return tokenizer.separator()


def _contents(path: Path) -> bytes | None:
    """What a file holds, None if there is none."""
    return path.read_bytes() if path.is_file() else None


def _there(files: Sequence[Path] | None, config: PrepareConfig) -> tuple[Manifest | None, list[str]]:
    """The manifest, if sources, settings and all prepared files are what it says; else why there is none."""
    folder = config.dataset_dir
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        return None, [str(error)]
    if manifest is None:
        return None, []
    if stale := differences(manifest, config, files):
        return None, stale
    for name, split in (("train", manifest.train), ("val", manifest.val)):
        written = {token_file(folder, name): split.sha256, document_file(folder, name): split.documents_sha256}
        for path, sha256 in written.items():
            if sha256 is not None and (not path.is_file() or sha256_of(path) != sha256):
                stale.append(f"{path.name} is missing or damaged")
    if manifest.tokenizer_files and tokenizer_files(tokenizer_folder(folder)) != manifest.tokenizer_files:
        stale.append("tokenizer/ is missing or another one, or damaged")
    return (None if stale else manifest), stale
