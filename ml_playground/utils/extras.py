"""Optional libraries, and the extra of this package that brings each."""

from collections.abc import Generator
from contextlib import contextmanager

from ml_playground.errors import MissingExtraError

_HUGGING_FACE = ("transformers", "tokenizers", "safetensors", "huggingface_hub", "dotenv")

EXTRAS = {
    "finetune": (*_HUGGING_FACE, "peft"),
    "export": (*_HUGGING_FACE, "gguf", "sentencepiece"),
    "analysis": ("matplotlib", "scipy"),
}
"""The modules that each extra brings; `[project.optional-dependencies]` has their packages."""


@contextmanager
def needing(extra: str) -> Generator[None]:
    """Turn a missing module into a message with the command that installs it.

    Args:
        extra: what brings it, if it does; else it is another that does.

    Raises:
        MissingExtraError: a module of an extra is not installed. Any other is a bug, or the user's own.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        bringing = [name for name in (extra, *EXTRAS) if module in EXTRAS[name]]
        if not bringing:
            raise
        raise MissingExtraError(module, bringing[0]) from None
