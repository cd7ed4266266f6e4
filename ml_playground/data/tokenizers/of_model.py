"""The tokenizer that a model came with, in a folder or on the Hub: read, and written for other programs."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from ml_playground.config.sections import Packing
from ml_playground.data.folders import require_file
from ml_playground.data.tokenizers.base import TOKENIZER_FILES, Tokenizer
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.huggingface import FastTokenizer, library_of
from ml_playground.errors import DataError
from ml_playground.utils.files import atomic_replace
from ml_playground.utils.hub import find_folder
from ml_playground.utils.tables import Table, is_table


def tokenizer_of_model(
    source: str,
    *,
    packing: Packing,
    tokens: Sequence[str] = (),
    last: str | None = None,
    revision: str | None = None,
) -> Tokenizer:
    """The tokenizer of a model. One of single characters becomes a `CharTokenizer`, but for documents that are ended.

    Args:
        source: a folder, or a name on the Hub.
        packing: how texts follow each other. Documents that are started begin with the token that ends a text,
            as GPT-2's do; those that are ended with the one that the tokenizer itself puts before a text, if it does.
        tokens: names of tokens to add.
        last: the one of them that ends a text, if one does.
        revision: branch, tag or commit on the Hub.

    Raises:
        CheckpointError: there is no such model.
        DataError: it has no such tokenizer, or no token that documents could begin with.
    """
    folder = find_folder(source, (*TOKENIZER_FILES, "config.json", "generation_config.json"), revision)
    text, end_token, other_ends = read_tokenizer(folder)
    if packing == "ended":
        start_token = _put_before_texts(text)
        text, known = _with_tokens(text, tokens)
        if last is not None:
            other_ends = [*other_ends, library_of(text).get_vocab(with_added_tokens=True)[last]]
        return FastTokenizer(text, end_token=end_token, start_token=start_token, other_ends=other_ends, marks=known)
    if packing == "started" and end_token is None:
        raise DataError(
            "the model's tokenizer has no token for the end of a text, with which documents could begin. "
            'Set [prepare] source = "text".'
        )
    start_token = end_token if packing == "started" else None
    model = json.loads(text)["model"]
    if model.get("type") != "WordLevel" or any(len(name) != 1 for name in model["vocab"]):
        return FastTokenizer(text, end_token=end_token, start_token=start_token, other_ends=other_ends)
    characters = sorted(model["vocab"], key=lambda name: model["vocab"][name])
    return CharTokenizer(characters, start_token=start_token is not None)


def _put_before_texts(text: str) -> str | None:
    """The name of the token that a tokenizer puts before each text, if there is one."""
    last_step: Table = json.loads(text).get("post_processor") or {}
    for step in last_step.get("processors", [last_step]):
        if step.get("type") == "TemplateProcessing" and "SpecialToken" in step["single"][0]:
            name: str = step["single"][0]["SpecialToken"]["id"]
            return name
    return None


def _with_tokens(text: str, names: Sequence[str]) -> tuple[str, dict[str, list[int]]]:
    """A tokenizer with tokens added to it, and for each the ids that its name had before."""
    from tokenizers import AddedToken  # which an extra brings

    if not names:
        return text, {}
    library = library_of(text)
    before = {name: library.encode(name, add_special_tokens=False).ids for name in names}
    # Not "special" ones: they are recognised in every program, and can be seen in what a model writes.
    tokens = [AddedToken(name, special=False, normalized=False) for name in names]
    library.add_tokens(tokens)  # pyright: ignore[reportUnknownMemberType] -- the library types its list without what is in it
    return library.to_str(), before


def write_tokenizer(path: Path, tokenizer: FastTokenizer, source: str, revision: str | None) -> None:
    """Write the tokenizer of the model at `source`, with what was added to it, as other programs read it."""
    folder = find_folder(source, TOKENIZER_FILES, revision)
    with atomic_replace(path, replace=True) as new:
        new.mkdir()
        for name in TOKENIZER_FILES[1:]:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        (new / TOKENIZER_FILES[0]).write_text(tokenizer.text, encoding="utf-8")


class TokenizerFile(NamedTuple):
    """A `tokenizer.json`, the name of the token that ends a text, and the ids at which the model ends one too."""

    text: str
    end_token: str | None
    other_ends: list[int]


def read_tokenizer(folder: Path) -> TokenizerFile:
    """The tokenizer in a folder. Raises DataError if there is none, or a file of it is damaged."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise DataError(
            f"{path} is missing. Transformers writes it for a tokenizer in other files: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
        )
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged ({error}).") from error
    library = library_of(text)
    ends = [each for each in _ends(folder) if library.id_to_token(each) is not None]
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        named = _read_table(folder / name).get("eos_token")
        named = named.get("content") if is_table(named) else named  # some write more of it than its name
        if isinstance(named, str) and (index := library.token_to_id(named)) is not None:
            return TokenizerFile(text, named, [each for each in ends if each != index])
    return TokenizerFile(text, library.id_to_token(ends[0]) if ends else None, ends[1:])


def _ends(folder: Path) -> list[int]:
    """The ids at which a model ends a text, as its configuration has them: one or several."""
    found: list[int] = []
    for name in ("config.json", "generation_config.json"):
        values = _read_table(folder / name)
        inner = values.get("text_config")  # of models that see pictures too
        for stated in (values.get("eos_token_id"), inner.get("eos_token_id") if is_table(inner) else None):
            several = cast("list[object]", stated) if isinstance(stated, list) else [stated]
            found += [each for each in several if isinstance(each, int) and 0 <= each < 2**32]
    return list(dict.fromkeys(found))


def _read_table(path: Path) -> Table:
    """The JSON object in a file, an empty one if there is none."""
    if not path.exists():
        return {}
    require_file(path)
    try:
        values: object = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}).") from error
    return values if is_table(values) else {}
