"""Model cards: what a model is and how it was trained."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ml_playground.data.manifest import Manifest
from ml_playground.run.checkpoint import Provenance
from ml_playground.utils.tables import Table, is_table, toml_lines


def model_card(
    name: str,
    *,
    parameters: int,
    context: int,
    progress_line: str,
    prompt: str,
    start: str | None,
    manifest: Manifest,
    origin: Provenance | None,
) -> str:
    """The text of a `README.md`.

    Args:
        name: of the run.
        parameters: number of trainable values.
        context: its context, in tokens.
        progress_line: step and loss of the checkpoint.
        prompt: a text to continue in the example.
        start: the token that documents begin with, if the model knows documents.
        manifest: of the data that the model was trained on.
        origin: what the run was made from, None for a checkpoint of nanoGPT, which has no record of it.
    """
    what = f"A language model of {parameters:,} parameters, trained with {_trainer(origin)}."
    lines: list[str] = [
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# {name}\n",
        f"{what} Its checkpoint: {progress_line}.",
        f"Its context is {context:,} tokens.",
    ]
    if origin is not None:
        lines += _data(manifest)
    lines += _example(prompt, start)
    if origin is not None:
        lines += _configuration(origin)
    return "\n".join([*lines, ""])


def _trainer(origin: Provenance | None) -> str:
    if origin is None:
        return "nanoGPT"
    source = origin.model_args.get("init_from")
    initialised = "" if source is None else f", initialised with the weights of `{_public(source)}`"
    return f"ml_playground {version('ml-playground')}{initialised}"


def _public(source: str) -> str:
    return Path(source).name if Path(source).is_absolute() else source


def _data(manifest: Manifest) -> Iterator[str]:
    yield "\n## Data\n"
    for kind, split in (("Training", manifest.train), ("Validation", manifest.val)):
        documents = f"{split.documents:,} documents" if split.documents != 1 else "1 document"
        yield f"- {kind}: {split.tokens:,} tokens, {split.bytes:,} bytes of text, {documents}."
    yield f"- Vocabulary: {manifest.vocab_size:,} ids."
    if manifest.tokenizer["kind"] == "char":
        known = json.dumps("".join(manifest.tokenizer["characters"]), ensure_ascii=False)
        yield f"- Each is a character; the whole vocabulary as a JSON string: `{known}`"
    for source in manifest.sources:
        yield f"- Source: `{Path(source.path).name}`, {source.bytes:,} bytes, SHA-256 `{source.sha256}`."


def _example(prompt: str, start: str | None) -> Iterator[str]:
    yield "\n## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
    yield 'folder = "."  # this folder, or its name on the Hub\ntokenizer = AutoTokenizer.from_pretrained(folder)'
    yield "model = AutoModelForCausalLM.from_pretrained(folder)"
    yield f'inputs = tokenizer({prompt!r}, return_tensors="pt")  # the text to continue'
    yield "print(tokenizer.decode(model.generate(**inputs)[0]))\n```"
    if start is not None:
        yield f"\nEvery document that it was trained on begins with `{start}`, and so must a prompt."


def _configuration(origin: Provenance) -> Iterator[str]:
    yield "\n## Configuration\n\n```toml"
    yield from toml_lines(drop_absolute_paths(origin.config))
    yield "```"
    versions = ", ".join(f"{program} {number}" for program, number in origin.versions.items())
    yield f"\nVersions: {versions}."


def drop_absolute_paths(tables: Table) -> Table:
    """`tables` without absolute paths, which describe one machine and may be private."""

    def private(value: Any) -> bool:
        return isinstance(value, str) and Path(value.removeprefix("FILE:")).is_absolute()

    kept = {key: value for key, value in tables.items() if not private(value)}
    return {key: drop_absolute_paths(value) if is_table(value) else value for key, value in kept.items()}
