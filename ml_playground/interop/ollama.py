"""Modelfiles: what Ollama makes a model from."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ml_playground.config.sections import SamplingConfig
from ml_playground.utils.files import atomic_write

# What Ollama puts around a question, by what gives a family's template for conversations away.
_TEMPLATES = {
    "<|im_start|>": """\
{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}<|im_start|>user
{{ .Prompt }}<|im_end|>
<|im_start|>assistant
{{ .Response }}<|im_end|>
""",
    "<|start_header_id|>": """\
{{ if .System }}<|start_header_id|>system<|end_header_id|>

{{ .System }}<|eot_id|>{{ end }}<|start_header_id|>user<|end_header_id|>

{{ .Prompt }}<|eot_id|><|start_header_id|>assistant<|end_header_id|>

{{ .Response }}<|eot_id|>""",
    "<start_of_turn>": """\
<start_of_turn>user
{{ if .System }}{{ .System }}

{{ end }}{{ .Prompt }}<end_of_turn>
<start_of_turn>model
{{ .Response }}<end_of_turn>
""",
    "[INST]": """\
[INST] {{ if .System }}{{ .System }}

{{ end }}{{ .Prompt }} [/INST]{{ .Response }}""",
}
_ENDS = {"<|im_start|>": "<|im_end|>", "<|start_header_id|>": "<|eot_id|>", "<start_of_turn>": "<end_of_turn>"}
_LONGEST_NAME = 80
_PLAIN = "{{ .Prompt }}"
_MOST_CONTEXT = (
    8192  # what Ollama is asked for; memory for all that some models could see is more than most machines have
)


def write_modelfile(
    path: Path,
    gguf: Path,
    sampling: SamplingConfig,
    *,
    context: int | None,
    stops: Sequence[str],
    chat_template: str | None,
) -> None:
    """Write a Modelfile.

    Args:
        path: the file, in the folder of `gguf`.
        gguf: the model.
        sampling: how to generate.
        context: tokens that the model sees, at most, if that is known.
        stops: the tokens that end a text.
        chat_template: the model's own template for conversations, in Jinja; of a family that is not known here, the
            model goes on from what it is given, as those without one do.
    """
    family = next((each for each in _TEMPLATES if each in (chat_template or "")), "")
    ends = dict.fromkeys(stops)
    if family in _ENDS:
        ends[_ENDS[family]] = None
    parameters = {
        "num_predict": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": -1,  # of the whole context
    }
    if context is not None:
        parameters |= {"num_ctx": min(context, _MOST_CONTEXT), "num_predict": min(context, sampling.max_new_tokens)}
    lines = [f"FROM ./{gguf.name}", f'TEMPLATE """{_TEMPLATES.get(family, _PLAIN)}"""']
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in ends]
    with atomic_write(path) as file:
        file.write("\n".join([*lines, ""]).encode())


def name_in_ollama(run: str) -> str:
    """A name that Ollama takes for a model, from a run's: at most 80 characters, the first a letter or digit.

    Accents are dropped. Where nothing that Ollama takes is left, a hash tells one name from another.
    """
    plain = unicodedata.normalize("NFKD", run).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9._-]+", "-", plain.lower()).strip("-._")[:_LONGEST_NAME].rstrip("-._")
    return name or f"model-{hashlib.sha256(run.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _quoted(text: str) -> str:
    return f'"""{text}"""' if '"' in text else f'"{text}"'
