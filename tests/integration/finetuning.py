"""Tiny models of Hugging Face's format, with random weights and tokenizers trained on the spot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers import logging as transformers_logging

from ml_playground.config.load import load_config
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.inference.load import load_trained
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.directory import RunDirectory
from tests.project import Project

PEOPLE = (("Dr. Eva Größe", "SPD"), ("Max Müller", "CDU/CSU"), ("Präsidentin Bas", ""), ("Ulla Jelpke", "DIE LINKE"))
SENTENCES = (
    "Sehr geehrte Damen und Herren!",
    "Das ist nicht wahr.",
    "Wir brauchen Geld für Straßen.",
    "Vielen Dank!",
)

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def speeches(count: int = 60) -> list[str]:
    """Some texts, no two alike."""
    return [
        " ".join(SENTENCES[(index * step) % 4] for step in (1, 2, 3)) + f" Antrag {index}." for index in range(count)
    ]


def speech_table() -> str:
    """A table in SpeakGer's style: speeches in parts, interjections between, and the chair's turns."""
    rows = ["Date,Chair,Interjection,Party,Speaker,Speech"]
    for index, text in enumerate(speeches()):
        speaker, party = PEOPLE[index % 4]
        chair = speaker.startswith("Präsidentin")
        rows.append(f'2022-12-{1 + index % 28:02},{chair},False,{party},{speaker},"{text}"')
        rows.append(f'2022-12-{1 + index % 28:02},False,True,,,"(Beifall bei der {party or "FDP"})"')
        rows.append(f'2022-12-{1 + index % 28:02},{chair},False,{party},{speaker},"Und noch etwas, {index}."')
    return "\n".join(rows) + "\n"


def by_bytes(*specials: str, begin: str | None = None, pattern: str | None = None) -> Tokenizer:
    """Byte-level BPE, as Qwen's and Llama 3's; with `begin`, it puts that before texts. GPT-2's pattern cuts words."""
    library = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    words = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    library.pre_tokenizer = pre_tokenizers.Sequence([*words, byte_level])
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(speeches(), trainer)
    return _beginning_with(library, begin)


def by_sentencepiece(*specials: str, begin: str) -> Tokenizer:
    """BPE of characters with bytes for the others, as Gemma's."""
    library = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    library.normalizer = normalizers.Replace(" ", "▁")
    library.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    as_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=[*specials, *as_bytes], show_progress=False)
    library.train_from_iterator(speeches(), trainer)
    plain = json.loads(library.to_str())  # bytes are tokens of the vocabulary, but no special ones
    plain["added_tokens"] = [each for each in plain["added_tokens"] if each["content"] in specials]
    return _beginning_with(Tokenizer.from_str(json.dumps(plain)), begin)


def _beginning_with(library: Tokenizer, begin: str | None) -> Tokenizer:
    if begin is not None:
        ids = [(begin, library.token_to_id(begin))]
        library.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=ids)
    return library


def qwen2() -> tuple[PreTrainedModel, Tokenizer, dict[str, str]]:
    """Tied embeddings, biases, and rows to spare for new tokens. Transformers insists on the pattern of its words."""
    config = Qwen2Config(vocab_size=360, tie_word_embeddings=True, **_SIZES)
    return Qwen2ForCausalLM(config), by_bytes("<|endoftext|>", pattern=_QWEN2), {"eos_token": "<|endoftext|>"}


def gemma3() -> tuple[PreTrainedModel, Tokenizer, dict[str, str]]:
    """Scaled embeddings, a sliding window in every other layer, no row to spare."""
    library = by_sentencepiece("<pad>", "<eos>", "<bos>", "<unk>", begin="<bos>")
    config = Gemma3TextConfig(
        vocab_size=library.get_vocab_size(),
        head_dim=8,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        **_SIZES,
    )
    return Gemma3ForCausalLM(config), library, {"eos_token": "<eos>", "bos_token": "<bos>"}


def llama() -> tuple[PreTrainedModel, Tokenizer, dict[str, str]]:
    """Embeddings and head apart."""
    library = by_bytes("<|begin_of_text|>", "<|end_of_text|>", begin="<|begin_of_text|>")
    config = LlamaConfig(vocab_size=library.get_vocab_size(), tie_word_embeddings=False, **_SIZES)
    named = {"eos_token": "<|end_of_text|>", "bos_token": "<|begin_of_text|>"}
    return LlamaForCausalLM(config), library, named


def gpt2() -> tuple[PreTrainedModel, Tokenizer, dict[str, str]]:
    """Layers that are not `torch.nn.Linear`, whose names repeat."""
    library = by_bytes("<|endoftext|>")
    config = GPT2Config(vocab_size=library.get_vocab_size(), n_embd=32, n_layer=2, n_head=4, n_positions=64)
    return GPT2LMHeadModel(config), library, {"eos_token": "<|endoftext|>"}


MODELS: dict[str, Callable[[], tuple[PreTrainedModel, Tokenizer, dict[str, str]]]] = {
    "qwen2": qwen2,
    "gemma3": gemma3,
    "llama": llama,
    "gpt2": gpt2,
}


def write_model(folder: Path, kind: str) -> Path:
    """A model in Hugging Face's format."""
    transformers_logging.disable_progress_bar()
    torch.manual_seed(1)
    network, library, named = MODELS[kind]()
    network.config.eos_token_id = library.token_to_id(named["eos_token"])
    with torch.no_grad():
        for parameter in network.parameters():  # as drawn, they all say the same
            if parameter.dim() == 2:
                parameter.mul_(4)
    network.save_pretrained(folder)
    library.save(str(folder / "tokenizer.json"))
    about = {**named, "tokenizer_class": "TokenizersBackend", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return folder


def fine_tuning(project: Project, kind: str) -> Project:
    """The tiny project, turned to a model of some kind and a table of speeches."""
    write_model(project.root / "base", kind)
    (project.folder / "raw" / "speeches.csv").write_text(speech_table(), encoding="utf-8")
    project.config.write_text(_CONFIG)
    return project


_CONFIG = """\
[prepare]
raw_dir = "tiny/raw/speeches.csv"
tokenizer = "huggingface"
source = "speeches"
add_structure_tokens = true

[train.hf_model]
model_name = "base"
block_size = 32

[train.peft]
r = 4
lora_dropout = 0.1
extend_mlp_targets = true

[train.data]
batch_size = 2
block_size = 16
grad_accum_steps = 2

[train.optim]
learning_rate = 0.02

[train.schedule]
warmup_iters = 2

[train.runtime]
max_iters = 6
eval_interval = 2
log_interval = 1
device = "cpu"

[sample.runtime]
device = "cpu"

[sample.sample]
start = "<speaker>Max Müller<party>CDU/CSU<year>2022<speech>"
num_samples = 2
max_new_tokens = 12
"""


def dataset_of(project: Project) -> Dataset:
    config = load_config(project.config, name="tiny", folder=project.folder)
    return open_dataset(config.prepare.dataset_dir, config.prepare)


def some_ids(project: Project) -> torch.Tensor:
    return torch.tensor(dataset_of(project).val[None, :24].astype("int64"))


def spec(project: Project) -> ModelSpec:
    config = load_config(project.config, name="tiny", folder=project.folder)
    return spec_of(config.train, config.file.root)


@torch.no_grad()
def our_logits(project: Project, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = load_trained(RunDirectory(project.out), spec(project)).model.eval()(ids)
    return logits


@torch.no_grad()
def plain_peft_logits(project: Project, which: str, ids: torch.Tensor) -> torch.Tensor:
    """What someone gets who has never heard of us."""
    folder = project.out / "adapters" / which
    base = AutoModelForCausalLM.from_pretrained(project.root / "base", dtype=torch.float32)
    base.resize_token_embeddings(max(len(AutoTokenizer.from_pretrained(folder)), base.config.vocab_size))
    logits: torch.Tensor = PeftModel.from_pretrained(base, str(folder)).eval()(ids).logits
    return logits
