"""How fast llama.cpp generates with an exported model, beside our own `sample`: make bench-gguf."""

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import torch
from llama_cpp import Llama  # pyright: ignore[reportMissingImports]  # it is in .venv-gguf

from benchmarks.report import Result, median, rounds, write
from benchmarks.sampling import PROMPTS, ROUNDS, SHAPES, TEMPERATURE, TOKENS, TOP_K, our_contenders, seconds_per_token
from ml_playground.config.sections import GGUFType
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.interop.gguf import write_gguf
from ml_playground.models.build import build_model
from ml_playground.models.transformer import Transformer

FORMATS: tuple[GGUFType, ...] = ("f32", "f16", "q8_0")
TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "10.7M characters": lambda: CharTokenizer(["\n", *map(chr, range(33, 97))], start_token=False),
    "GPT-2 124M": lambda: TiktokenTokenizer("gpt2", start_token=False),
}


def exported(scratch: Path) -> Result:
    """Tokens per second at batch 1, each program with two threads."""
    result = Result("exported", ["model", "", "tokens/s", "median"])
    for name, shape in SHAPES.items():
        model = build_model({**shape, "bias": True}).eval()
        assert isinstance(model, Transformer)
        tokenizer = TOKENIZERS[name]()
        prompt = torch.randint(0, 65, (1, PROMPTS[name]))
        contenders: dict[str, Callable[[int], object]] = dict(our_contenders(model, shape, prompt, batch=1))
        for dtype in FORMATS:
            path = scratch / f"{name}-{dtype}.gguf"
            write_gguf(path, model.config, model.state_dict(), tokenizer, dtype)
            contenders[f"llama.cpp, {dtype}"] = _by_llama_cpp(path, [int(token) for token in prompt[0]])
        for make in contenders.values():
            make(2)  # the first time reads the file, or finds its kernels
        speeds: dict[str, list[float]] = {each: [] for each in contenders}
        for _ in range(ROUNDS):
            for each, make in contenders.items():
                speeds[each].append(1 / seconds_per_token(make, TOKENS[name]))
        result.rows += [[name, each, rounds(rates, 1), f"{median(rates):.1f}"] for each, rates in speeds.items()]
    result.says.append(f"llama.cpp is that of llama-cpp-python {version('llama-cpp-python')}, built from source.")
    return result


def _by_llama_cpp(path: Path, prompt: list[int]) -> Callable[[int], object]:
    threads = torch.get_num_threads()
    model = Llama(str(path), n_ctx=0, n_threads=threads, n_threads_batch=threads, verbose=False)

    def make(count: int) -> object:
        began = model.generate(prompt, temp=TEMPERATURE, top_k=TOP_K, top_p=1.0, min_p=0.0, repeat_penalty=1.0)
        return list(islice(began, count))

    return make


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(exported(Path(folder)))
