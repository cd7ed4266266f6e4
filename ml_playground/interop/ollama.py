"""Modelfiles, from which Ollama creates models."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ml_playground.config.sections import SamplingConfig
from ml_playground.utils.files import atomic_write

_LONGEST_NAME = 80
_PLAIN = "{{ .Prompt }}"
_MOST_CONTEXT = 8192  # tokens; the whole context of some models takes more memory than most machines have


def write_modelfile(
    path: Path,
    gguf: Path,
    sampling: SamplingConfig,
    *,
    context: int | None,
    stops: Sequence[str],
    has_chat_template: bool,
) -> None:
    """Write a Modelfile.

    If a GGUF file contains a chat template, Ollama finds its own template for it, with stop tokens
    (`detectChatTemplate` in its server/model.go). Stop tokens stated here would replace those.

    Args:
        path: the file, in the folder of `gguf`.
        gguf: the model.
        sampling: how to generate.
        context: the model's context in tokens, if that is known.
        stops: the tokens that end a text.
        has_chat_template: whether `gguf` contains a chat template; a model without one continues the text it is given.
    """
    parameters = {
        "num_predict": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": -1,  # the whole context
    }
    if context is not None:
        parameters |= {"num_ctx": min(context, _MOST_CONTEXT), "num_predict": min(context, sampling.max_new_tokens)}
    lines = [f"FROM ./{gguf.name}", *([] if has_chat_template else [f'TEMPLATE """{_PLAIN}"""'])]
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    lines += [] if has_chat_template else [f"PARAMETER stop {_quoted(stop)}" for stop in dict.fromkeys(stops)]
    with atomic_write(path) as file:
        file.write("\n".join([*lines, ""]).encode())


def name_in_ollama(run: str) -> str:
    """A valid name for a model in Ollama, from a run's: at most 80 characters, the first a letter or digit.

    Accents are dropped. If no valid character is left, the name is made unique by a hash.
    """
    plain = unicodedata.normalize("NFKD", run).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9._-]+", "-", plain.lower()).strip("-._")[:_LONGEST_NAME].rstrip("-._")
    return name or f"model-{hashlib.sha256(run.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _quoted(text: str) -> str:
    return f'"""{text}"""' if '"' in text else f'"{text}"'
