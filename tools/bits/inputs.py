"""Makes what the configurations train on: texts, a table of speeches, a model's file, and tiny models."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers import logging as transformers_logging

_SUBJECTS = ("the grey cat", "a small boat", "Frau Müller", "the old café", "nobody", "our fox", "a naïve owl")
_VERBS = ("sleeps", "waits", "sings", "turns", "drifts", "answers", "costs 5 €")
_PLACES = ("by the river", "under the bridge", "in the snow", "at noon", "über den Straßen", "again", "for hours")
_PEOPLE = (("Eva Größe", "SPD"), ("Max Müller", "CDU/CSU"), ("Präsidentin Bas", ""), ("Ulla Jelpke", "DIE LINKE"))
_END = "<|endoftext|>"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SIZES: dict[str, Any] = {
    "vocab_size": 360,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
_MODEL = '''
"""A recurrent model."""

from torch import nn

try:
    from ml_playground.models.base import LanguageModel
except ImportError:  # earlier versions
    from ml_playground.models import LanguageModel


class Recurrent(LanguageModel):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size, self.vocab_size = config.block_size, vocab_size
        self.embed = nn.Embedding(vocab_size, config.n_embd)
        self.rnn = nn.GRU(config.n_embd, config.n_embd, config.options["layers"], batch_first=True)
        self.head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, ids):
        return self.head(self.rnn(self.embed(ids))[0])


build = Recurrent
'''


def write_inputs(folder: Path) -> None:
    """Write all inputs to `folder`, the same ones each time."""
    (folder / "files").mkdir(parents=True)
    (folder / "text").mkdir()
    (folder / "text" / "input.txt").write_text("\n".join(_sentences(1500)) + "\n", encoding="utf-8")
    for number, text in enumerate(_paragraphs(40)):
        encoding = "cp1252" if number % 7 == 3 else "utf-8"
        (folder / "files" / f"{number:02}.txt").write_text(text + "\n", encoding=encoding)
    (folder / "speeches.csv").write_text(_table(), encoding="utf-8")
    (folder / "model.py").write_text(_MODEL)
    transformers_logging.disable_progress_bar()
    _write_model(folder / "qwen2", Qwen2ForCausalLM, Qwen2Config(tie_word_embeddings=True, **_SIZES))
    _write_model(folder / "llama", LlamaForCausalLM, LlamaConfig(tie_word_embeddings=False, **_SIZES))
    layers = ["sliding_attention", "full_attention"]
    gemma = Gemma3TextConfig(head_dim=8, sliding_window=8, layer_types=layers, **_SIZES)
    _write_model(folder / "gemma3", Gemma3ForCausalLM, gemma)


def _sentences(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)  # noqa: S311 -- no secret
    return [f"{draw.choice(_SUBJECTS)} {draw.choice(_VERBS)} {draw.choice(_PLACES)}" for _ in range(count)]


def _paragraphs(count: int) -> list[str]:
    return [". ".join(_sentences(3 + number % 4, seed=number)) + "." for number in range(count)]


def _table() -> str:
    """Speeches in two parts each, an interjection between them."""
    rows = ["Date,Chair,Interjection,Party,Speaker,Speech"]
    for number, text in enumerate(_paragraphs(60)):
        speaker, party = _PEOPLE[number % 4]
        date, chair = f"2022-12-{1 + number % 28:02}", speaker.startswith("Präsidentin")
        rows.append(f'{date},{chair},False,{party},{speaker},"{text}"')
        rows.append(f'{date},False,True,,,"(Beifall bei der {party or "FDP"})"')
        rows.append(f'{date},{chair},False,{party},{speaker},"Und noch etwas, {number}."')
    return "\n".join(rows) + "\n"


def _write_model(folder: Path, kind: type[PreTrainedModel], config: Any) -> None:
    """A model with random weights and a byte-level tokenizer, in Hugging Face's format."""
    library = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([words, byte_level])
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=[_END], initial_alphabet=alphabet, show_progress=False)
    library.train_from_iterator(_paragraphs(40), trainer)
    torch.manual_seed(1)
    network = kind(config)
    network.config.eos_token_id = library.token_to_id(_END)
    with torch.no_grad():
        for parameter in network.parameters():  # as drawn, they all predict the same
            if parameter.dim() == 2:
                parameter.mul_(4)
    network.save_pretrained(folder)
    library.save(str(folder / "tokenizer.json"))
    about = {"eos_token": _END, "tokenizer_class": "TokenizersBackend", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
