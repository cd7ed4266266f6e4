"""Modelfiles: what Ollama makes a model from."""

from collections.abc import Sequence
from pathlib import Path

from ml_playground.config.sections import SamplingConfig
from ml_playground.files import atomic_write


def write_modelfile(
    path: Path, gguf: Path, sampling: SamplingConfig, *, context: int, stops: Sequence[str], chats: bool, seed: int
) -> None:
    """Write a Modelfile.

    Args:
        path: the file, in the folder of `gguf`.
        gguf: the model.
        sampling: how to generate.
        context: tokens that the model sees, at most.
        stops: texts that end an answer.
        chats: whether the model has a chat template, which Ollama then takes from the GGUF file. Others go on from what
            they are given.
        seed: same seed, same text.
    """
    lines = [f"FROM ./{gguf.name}", *([] if chats else ['TEMPLATE """{{ .Prompt }}"""'])]
    parameters = {
        "num_ctx": context,
        "num_predict": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": -1,  # of the whole context
        "seed": seed,
    }
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    with atomic_write(path) as file:
        file.write("\n".join([*lines, ""]).encode())
