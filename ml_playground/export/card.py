"""Model cards: what a model is, in the words of the run that made it."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from ml_playground.checkpoint import Origin
from ml_playground.config.tables import toml_lines
from ml_playground.data.manifest import Manifest


def model_card(
    name: str, *, parameters: int, start: str | None, manifest: Manifest, origin: Origin | None, standing: str
) -> str:
    """The text of a `README.md`.

    Args:
        name: of the run.
        parameters: number of trainable values.
        start: the token that documents begin with, if the model knows documents.
        manifest: of the data.
        origin: what the run was made of, None where its checkpoint does not tell.
        standing: step and loss of the checkpoint.
    """
    return "\n".join([*_lines(name, parameters, start, manifest, origin, standing), ""])


def _lines(
    name: str, parameters: int, start: str | None, manifest: Manifest, origin: Origin | None, standing: str
) -> Iterator[str]:
    prompt = start or "\\n"
    yield f"---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# {name}\n"
    yield f"A language model of {parameters:,} parameters, trained with ml_playground {version('ml-playground')}."
    yield f"\nIts checkpoint: {standing}."
    yield "\n## Data\n"
    for kind, split in (("Training", manifest.train), ("Validation", manifest.val)):
        yield f"- {kind}: {split.tokens:,} tokens, {split.bytes:,} bytes of text, {split.documents:,} documents."
    yield f"- Vocabulary: {manifest.vocab_size:,} ids."
    for source in manifest.sources:
        yield f"- Source: `{source.path.rpartition('/')[2]}`, {source.bytes:,} bytes, SHA-256 `{source.sha256}`."
    yield "\n## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
    yield 'folder = "."  # this folder, or its name at the hub\ntokenizer = AutoTokenizer.from_pretrained(folder)'
    yield "model = AutoModelForCausalLM.from_pretrained(folder)"
    yield f'inputs = tokenizer("{prompt}", return_tensors="pt")  # the text to continue'
    yield "print(tokenizer.decode(model.generate(**inputs)[0]))\n```"
    if start is not None:
        yield f"\nEvery document that it was trained on begins with `{start}`, and so must a prompt."
    if origin is not None:
        yield "\n## Configuration\n\n```toml"
        yield from (line for line in toml_lines(origin.config) if not _names_a_home(line))
        yield "```"
        versions = ", ".join(f"{program} {number}" for program, number in origin.versions.items())
        yield f"\nVersions: {versions}."


def _names_a_home(line: str) -> bool:
    """Whether a line of TOML states a path from the root of a machine, which is nobody else's business."""
    return any(Path(word.strip('"')).is_absolute() for word in line.split(" = ")[1:])
