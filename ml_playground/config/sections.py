"""Every option of a TOML file: its type, its default and its description, in one place.

A component receives the section it needs (or plain keyword arguments), never the whole configuration.
`docs/configuration.md` is generated from this file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from ml_playground.config.fields import (
    Section,
    derived,
    from_experiment,
    known_encoding,
    model_name,
    of_kind,
    plain_values,
    prompt,
    same_as,
    true_or_names,
    zero_or_from,
)
from ml_playground.config.kinds import fill_in
from ml_playground.config.parts import Part, PartOf, part
from ml_playground.config.registries import MLPS, NORMS, POSITIONS, SINKS, SOURCES, SPLITS, TOKENIZERS
from ml_playground.utils.tables import Table, is_table

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ml_playground.models.base import LanguageModel
    from ml_playground.run.sinks import Sink, SinkStart

ModelName = Annotated[str | None, AfterValidator(model_name)]
Device = Literal["cpu", "mps", "cuda", "auto"]
DType = Literal["float32", "bfloat16", "float16"]
SampleDType = Literal[DType, "int8"]
GGUFType = Literal["f32", "f16", "q8_0"]


Packing = Literal["running", "started", "ended"]
"""How a source's texts stand one after the other.

As `running` text; as documents after a start token each; or as documents before a separator each.
"""


class SourceConfig(Part):
    """See `data/sources/base.py`; what of a source others than `prepare` must know.

    Attributes:
        endings: of the names of the files that it reads.
        packing: how its texts stand one after the other.
        default_split: the kind of split where none is stated.
        fields: names of what can be known of a document, in the order in which structure tokens stand before it.
    """

    kind: str = Field("text", description="what the raw text is")

    endings: ClassVar[tuple[str, ...]] = (".txt",)
    packing: ClassVar[Packing] = "running"
    default_split: ClassVar[str] = "position"
    fields: ClassVar[tuple[str, ...]] = ()

    @property
    def tags(self) -> Mapping[str, list[str]]:
        """The tokens that it puts into texts by itself, by the option that asks for them."""
        return {}


class TokenizerConfig(Part):
    """See `data/tokenizers/options.py`; what of a tokenizer others than `prepare` must know.

    Attributes:
        takes_tokens: whether tokens can be added to it, as to a model's.
        is_of_model: whether it is that of a model, which must be named.
    """

    kind: str = Field("char", description="which one")

    takes_tokens: ClassVar[bool] = False
    is_of_model: ClassVar[bool] = False

    @property
    def of_model(self) -> str | None:
        """The model whose tokenizer it is, if it is one's: a folder, or a name at the hub."""
        return None


class SplitConfig(Part):
    """See `data/splits.py`; what of a split others than `prepare` must know.

    Attributes:
        splits_documents: whether whole documents are split, not running text.
    """

    kind: str = Field("position", description="which one; not stated, `position` for running text, else `hash`")

    splits_documents: ClassVar[bool] = False


class PrepareConfig(Section):
    """From raw text to token files."""

    dataset: str = from_experiment("the experiment's name", "registered preparer that makes the data")
    dataset_dir: Path = from_experiment(
        "`datasets/` in the experiment's folder", "folder for `train.bin`, `val.bin` and `meta.json`"
    )
    raw_dir: Path = same_as(
        "prepare.dataset_dir",
        "folder searched for the files that the source reads, subfolders and links included but nothing hidden; or one "
        "such file",
    )
    encoding: Annotated[str, AfterValidator(known_encoding)] = Field(
        "utf-8",
        description="encoding of the raw text: any that Python knows, or `auto`: for each file UTF-16 or UTF-32 where "
        "it is, else UTF-8 where it decodes as such, else Windows-1252. Text that was evidently read in a wrong one is "
        "refused",
    )
    doc_separator: str | None = Field(
        None,
        min_length=1,
        description="where files hold documents, what is between these, in text files too: one that contains it holds "
        "several. The name of a special token, such as `<|endoftext|>`, means that token here, as it does in a prompt; "
        "within a text it is text like any other. Not stated: the token that ends a text",
    )
    add_structure_tokens: Annotated[bool | list[str], BeforeValidator(true_or_names)] = Field(
        False,
        description="wrap each document in tokens for what is known of it, which the tokenizer of a model learns: all "
        "fields that the source has (`true`), or those in a list of their names",
    )
    max_lost: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the text's characters for which a model's tokenizer may have no token; more is refused, "
        "less is reported",
    )
    source: Annotated[SourceConfig, PartOf(SOURCES, "text")] = part("what the raw text is")
    tokenizer: Annotated[TokenizerConfig, PartOf(TOKENIZERS, "char")] = part("text to tokens")
    split: Annotated[SplitConfig, PartOf(SPLITS, "position")] = part("training and validation text")

    @classmethod
    def completed(cls, stated: Table) -> Table:
        """With the split that goes with the source."""
        source, split = stated.get("source", {}), stated.get("split", {})
        if not is_table(split) or "kind" in split:
            return stated
        options: type[Any] = PartOf(SOURCES, "text").options(source)
        return {**stated, "split": {"kind": options.default_split, **split}}

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        return cls.completed(values) if is_table(values) else values

    @property
    def structure_fields(self) -> tuple[str, ...]:
        """The fields that structure tokens are for."""
        if isinstance(self.add_structure_tokens, list):
            return tuple(self.add_structure_tokens)
        return self.source.fields if self.add_structure_tokens else ()


class PositionConfig(Part):
    """How the model knows the order of tokens."""

    kind: str = Field("learned", description="which way")

    def conflicts(self, model: "ModelConfig") -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ARG002 -- of some kinds
        """What of `[train.model]` it does not fit: the options to point at, and why."""
        return iter(())

    def build(self, model: "ModelConfig") -> "nn.Module":
        """A `models.position.Position` for a model with these options."""
        raise NotImplementedError


class NormConfig(Part):
    """Normalisation of activations."""

    kind: str = Field("layernorm", description="which one")

    def build(self, width: int, model: "ModelConfig") -> "nn.Module":
        """A module that normalises the last dimension, of size `width`."""
        raise NotImplementedError


class MLPConfig(Part):
    """What a block does at each position by itself."""

    kind: str = Field("gelu", description="which one")

    @classmethod
    def inner_width(cls, width: int) -> int:
        """The default of `n_inner` where `n_embd` is `width`."""
        return 4 * width

    def build(self, model: "ModelConfig") -> "nn.Module | None":
        """A module (B, T, C) to (B, T, C), None for no MLP."""
        raise NotImplementedError


_MLP = PartOf(MLPS, "gelu")


class ModelOptions(Part):
    """The model: a transformer with the defaults of a family, any part of which can be set on its own, or another."""

    kind: str = Field("gpt2", description="family whose defaults fill in what is not stated, or another model")
    block_size: PositiveInt = same_as(
        "train.data.block_size", "longest context the model can see, in tokens", gt=0, le=2**24
    )

    def conflicts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Options that do not fit each other: those to point at, and why."""
        return iter(())

    def summary(self) -> str:
        """The model in a few words."""
        return f"{self.kind}, block {self.block_size}"

    def build(self, vocab_size: int) -> "LanguageModel":
        """A new `LanguageModel` for ids below `vocab_size`, its weights drawn from torch's generator."""
        raise NotImplementedError


class ModelConfig(ModelOptions):
    """The transformer of a family; see `ModelOptions`."""

    file: Path | None = Field(
        None,
        description="Python file with a model of your own: its `build(config, vocab_size)` makes a `LanguageModel`",
    )
    options: Annotated[dict[str, Any], AfterValidator(plain_values)] = Field(
        {},
        description="with `file`, options of your own for that model, under any names: `build` finds them in "
        "`config.options`",
    )
    init_from: ModelName = Field(
        None,
        description="begin with the weights and the shape of a trained model, whose values win over those of this "
        "section but for `block_size` and `dropout`: a folder in Hugging Face's format (GPT-2, Llama, Mistral, Qwen2, "
        "Qwen3), a name at its hub, or a checkpoint of nanoGPT",
    )
    n_layer: PositiveInt = Field(4, le=1000, description="number of transformer blocks")
    n_head: PositiveInt = Field(4, le=2**10, description="attention heads; must divide `n_embd`")
    n_embd: PositiveInt = Field(128, le=2**24, description="width of the residual stream")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate while training")
    bias: bool = Field(False, description="biases in linear layers and layer norms")
    n_kv_head: PositiveInt = derived("`n_head`", "key/value heads, shared among the query heads", gt=0, le=2**10)
    head_dim: PositiveInt = derived("`n_embd / n_head`", "width of a head", gt=0, le=2**24)
    n_inner: PositiveInt = derived("4 `n_embd`; 8/3 of it for `swiglu`", "width inside an MLP", gt=0, le=2**26)
    position: Annotated[PositionConfig, PartOf(POSITIONS, "learned")] = of_kind("positional encoding")
    norm: Annotated[NormConfig, PartOf(NORMS, "layernorm")] = of_kind("normalisation")
    norm_eps: float = of_kind("what a norm adds to the variance before its root", ge=1e-30, le=1)
    norm_placement: Literal["pre", "post", "sandwich"] = of_kind(
        "before attention and MLP, after their sum with the residual stream, or before and after them"
    )
    mlp: Annotated[MLPConfig, _MLP] = of_kind("feed-forward type")
    qk_norm: bool = of_kind("normalise queries and keys")
    value_norm: bool = Field(False, description="normalise values")
    tied_embeddings: bool = of_kind("one matrix embeds tokens and predicts them")
    embedding_norm: bool = of_kind("normalise the embeddings before the first block")
    value_embeddings: bool = Field(False, description="each layer adds a learned vector per token to its values")
    ngram_embeddings: NonNegativeInt = of_kind("add embeddings of the last 2, ..., n tokens; 0 does not", le=4)
    ngram_buckets: PositiveInt = Field(
        2**14, le=2**26, description="most rows per table of n-gram embeddings; n-grams beyond that many share rows"
    )
    logit_softcap: Annotated[float, zero_or_from(1e-3)] = Field(
        0.0, ge=0, le=1e6, description="squash logits to within this bound by tanh; 0 does not"
    )
    sliding_window: NonNegativeInt = Field(0, description="attend to this many last tokens only; 0 to all")
    zero_init: bool = of_kind("start with all projections into the residual stream and the logits at zero")

    def conflicts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """See `ModelOptions`."""
        if self.head_dim == self.n_embd // self.n_head and self.n_embd % self.n_head:
            yield ("n_head", "n_embd"), f"{self.n_head} heads do not divide n_embd = {self.n_embd}"
        if self.n_head % self.n_kv_head:
            yield ("n_kv_head", "n_head"), f"{self.n_kv_head} key/value heads do not divide n_head = {self.n_head}"
        yield from self.position.conflicts(self)
        if self.sliding_window >= self.block_size:
            yield (
                ("sliding_window", "block_size"),
                f"a window of {self.sliding_window} hides nothing of {self.block_size} tokens",
            )
        if self.init_from is not None and self.file is not None:
            yield ("init_from", "file"), "a model of your own cannot begin with another's weights"
        if self.options and self.file is None:
            yield ("options",), "means nothing without file: a model of your own, which these are for"
        if self.ngram_embeddings == 1:
            yield ("ngram_embeddings",), "n-grams begin with 2 tokens; 0 has none"
        if self.zero_init and self.norm_placement == "sandwich":
            yield (
                ("zero_init", "norm_placement", "kind"),
                "a norm behind a projection that starts at zero blows up its first step",
            )

    def summary(self) -> str:
        """See `ModelOptions`."""
        return f"{self.n_layer} layers, {self.n_head} heads, {self.n_embd} wide, block {self.block_size}"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        return cls.completed(values) if is_table(values) else values

    @classmethod
    def completed(cls, stated: Table) -> Table:
        """See `Section`: what the family says, and sizes that follow from others."""
        defaults = {name: field.default for name, field in cls.model_fields.items() if not field.is_required()}
        filled = fill_in(stated, defaults)
        n_embd = filled["n_embd"]
        if isinstance(n_embd, int) and "n_inner" not in filled:
            mlp: type[MLPConfig] = _MLP.options(filled.get("mlp", {}))
            filled["n_inner"] = mlp.inner_width(n_embd)
        return filled


class HfModelConfig(Section):
    """A trained model to go on with, in Hugging Face's format: any that Transformers knows, on the same trainer."""

    model_name: ModelName = Field(
        None,
        min_length=1,
        description="a folder in that format, or a name at the hub; not stated, the model is that of `[train.model]`",
    )
    revision: str | None = Field(None, description="branch, tag or commit at the hub; not stated, the newest")
    block_size: PositiveInt = same_as(
        "train.data.block_size", "longest context the model is given, in tokens", gt=0, le=2**24
    )
    gradient_checkpointing: bool = Field(
        False, description="compute a block's inner values again in the backward pass: less memory, more time"
    )
    dtype: DType = same_as(
        "train.runtime.dtype", "number format in which weights that are not trained are kept; the others are in float32"
    )
    quantization: Literal["none", "8bit", "4bit"] = Field(
        "none", description="keep weights that are not trained in so many bits, on CUDA, by bitsandbytes (QLoRA)"
    )


class PeftConfig(Section):
    """What of that model is trained: adapters by Hugging Face's PEFT (LoRA, Hu et al. 2021), or all of it."""

    enabled: bool = Field(True, description="`false` trains all weights")
    r: PositiveInt = Field(8, le=2**16, description="rank of the adapters")
    lora_alpha: float = Field(16, ge=1e-6, le=1e6, description="their output is multiplied by this divided by `r`")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of their input while training")
    bias: Literal["none", "all", "lora_only"] = Field(
        "none", description="biases to train too: none, all, or those of layers with adapters"
    )
    target_modules: list[str] | None = Field(
        None, min_length=1, description="names of the linear layers that get adapters; not stated, those in attention"
    )
    extend_mlp_targets: bool = Field(False, description="give adapters to the linear layers in MLPs too")
    use_dora: bool = Field(False, description="train lengths and directions apart (DoRA, Liu et al. 2024)")
    use_rslora: bool = Field(
        False, description="divide `lora_alpha` by the root of `r` (rank-stabilised LoRA, Kalajdzievski 2023)"
    )


class DataConfig(Section):
    """Batches."""

    dataset_dir: Path = same_as("prepare.dataset_dir", "folder with the prepared data")
    batch_size: PositiveInt = Field(12, le=10**6, description="sequences per forward pass")
    block_size: PositiveInt = Field(64, le=2**24, description="tokens per sequence")
    grad_accum_steps: PositiveInt = Field(1, le=10**6, description="forward passes per optimiser step")
    sampler: Literal["random", "sequential", "epoch"] = Field(
        "random",
        description="`random`: windows anywhere, with replacement; `sequential`: in the order of the text; "
        "`epoch`: every window once per epoch, shuffled again each time",
    )


ParameterGroup = dict[str, Any]
"""Parameters that an optimiser treats alike.

`params`, the tensors; `lr`, their peak learning rate; `lr_scale`, that as a multiple of `learning_rate`;
`weight_decay`; `hidden`, whether they are the matrices between embeddings and head.
"""


class OptimConfig(Part):
    """The optimiser. Its kinds are in `ml_playground/training/optimizers/`."""

    kind: str = Field("adamw", description="which one")
    learning_rate: float = Field(1e-3, ge=1e-30, le=1e30, description="peak learning rate")
    embedding_learning_rate: float = same_as(
        "train.optim.learning_rate", "peak learning rate of embeddings that are not the head too", ge=1e-30, le=1e30
    )
    weight_decay: float = Field(0.1, ge=0, le=1e6, description="weight decay, on matrices only")
    grad_clip: float = Field(1.0, ge=0, description="largest gradient norm; 0 turns clipping off")

    @property
    def hidden_learning_rate(self) -> float | None:
        """Peak learning rate of the matrices between embeddings and head, None where they are not a group apart."""
        return None

    def build(self, groups: "list[ParameterGroup]") -> "torch.optim.Optimizer":
        """The optimiser of these groups of parameters."""
        raise NotImplementedError


class ScheduleConfig(Part):
    """The learning rate over the run. Its kinds are in `ml_playground/training/schedules/`."""

    kind: str = Field("cosine", description="what follows the warm-up")
    warmup_iters: NonNegativeInt = Field(0, description="steps of linear warm-up")

    def learning_rate(self, step: int, peak: float) -> float:
        """The rate of a step, of which 0 is the first: linear warm-up to `peak`, then what the kind says."""
        if step < self.warmup_iters:
            return peak * (step + 1) / (self.warmup_iters + 1)
        return self.after_warmup(step, peak)

    def after_warmup(self, step: int, peak: float) -> float:
        """The rate of a step that is not in the warm-up."""
        raise NotImplementedError


class DecayingScheduleConfig(ScheduleConfig):
    """A schedule that decays from the peak to `min_lr`."""

    lr_decay_iters: NonNegativeInt = same_as("train.runtime.max_iters", "step at which `min_lr` is reached", ge=0)
    min_lr: float = Field(
        0.0, ge=0, description="learning rate after the decay, of groups whose peak is `learning_rate`"
    )

    @property
    def decay_start(self) -> int:
        """The first step of the decay."""
        return self.warmup_iters

    def after_warmup(self, step: int, peak: float) -> float:
        """See `ScheduleConfig`."""
        start, end = self.decay_start, self.lr_decay_iters
        if step >= end:
            return self.min_lr
        if step < start:
            return peak
        return self.min_lr + self.share((step - start) / (end - start)) * (peak - self.min_lr)

    def share(self, progress: float) -> float:
        """What is left of the way from `min_lr` to the peak, 1 to 0, after this share of the decay, 0 to 1."""
        raise NotImplementedError


class SinkConfig(Part):
    """Where a training reports what it measures. Its kinds are in `ml_playground/run/sinks/`."""

    kind: str = Field("console", description="which")

    def build(self, start: "SinkStart") -> "Sink":
        """Open it for a training.

        Raises:
            PlaygroundError: it cannot be opened.
        """
        raise NotImplementedError


class TrainRuntimeConfig(Section):
    """Where, how long and on what to train."""

    out_dir: Path = from_experiment(
        "`out/<name of the TOML file>` in the experiment's folder, where a `config.toml` goes by the experiment's name",
        "run directory: checkpoints, metrics, samples",
    )
    max_iters: NonNegativeInt = Field(1000, description="optimiser steps in all")
    eval_interval: PositiveInt = Field(250, description="steps between evaluations, each of which saves `ckpt_last.pt`")
    eval_iters: NonNegativeInt = Field(
        0, description="windows of validation text to evaluate on, always the first ones; 0 is all of it, exactly"
    )
    log_interval: PositiveInt = Field(10, description="steps between logged training losses")
    sinks: list[Annotated[SinkConfig, PartOf(SINKS, "console")]] = Field(
        ["console", "jsonl", "tensorboard"],
        validate_default=True,
        description="where measurements go: `console` prints them, `jsonl` adds rows to `metrics.jsonl`, `tensorboard` "
        "writes `logs/tb`; a table instead of a name has options of its own",
    )
    always_save_checkpoint: bool = Field(False, description="keep a numbered checkpoint of every evaluation")
    keep_last_n: NonNegativeInt = Field(0, description="numbered checkpoints to keep; 0 keeps all")
    save_merged_on_best: bool = Field(
        False, description="whenever a model of `[train.hf_model]` is the best so far, do what `merge` does"
    )
    ckpt_time_interval_minutes: float = Field(
        10.0, ge=0, description="save `ckpt_last.pt` when the last save is this long ago; 0 turns it off"
    )
    early_stop_patience: NonNegativeInt = Field(
        0, description="stop after this many evaluations in a row without improvement; 0 never does"
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="keep an exponential moving average of the weights, evaluate and sample with it; 0 turns it off",
    )
    seed: NonNegativeInt = Field(1337, description="seed of initial weights, batches and dropout")
    device: Device = Field("auto", description="`auto` takes CUDA, else MPS, else the CPU")
    dtype: DType = Field("float32", description="number format of the forward pass; weights stay float32")
    compile: bool = Field(False, description="compile the model with `torch.compile`")
    threads: NonNegativeInt = Field(
        0, le=1024, description="threads that compute on a CPU; 0 is PyTorch's choice, usually one for each core"
    )
    deterministic: bool = Field(False, description="deterministic kernels on CUDA, for bit-exact resume there")


class SampleRuntimeConfig(Section):
    """Which run to sample from, and on what."""

    out_dir: Path = same_as("train.runtime.out_dir", "run directory to take the checkpoint from, for `export` too")
    device: Device = Field("auto", description="`auto` takes CUDA, else MPS, else the CPU")
    dtype: SampleDType = Field(
        "float32",
        description="number format of weights and activations; fewer bytes are faster to read. "
        "`int8`: weights of 8 bits, activations in bfloat16, for a CPU",
    )
    seed: NonNegativeInt = Field(1337, description="same seed, same text")
    threads: NonNegativeInt = same_as("train.runtime.threads", "threads that compute on a CPU", ge=0, le=1024)
    compile: bool = Field(False, description="compile the model with `torch.compile`")


class SamplingConfig(Section):
    """What to generate."""

    start: Annotated[str, AfterValidator(prompt)] = Field(
        "\n",
        description='prompt, or `FILE:<path>` for a file\'s text; "" starts a new document where there are any. '
        "Names of the tokenizer's special tokens, such as `<|endoftext|>`, mean these tokens",
    )
    num_samples: PositiveInt = Field(3, le=10**6, description="texts to generate")
    max_new_tokens: PositiveInt = Field(200, description="most tokens per text")
    temperature: float = Field(0.8, ge=0, le=1e30, description="0 always takes the likeliest token")
    top_k: NonNegativeInt = Field(200, description="choose among this many likeliest tokens; 0 among all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="choose among the likeliest tokens that together have this probability"
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="choose among tokens at least this many times as likely as the likeliest"
    )
    repetition_penalty: float = Field(
        1.0, ge=1e-3, le=1e3, description="above 1, tokens that are in the context become less likely; 1 does nothing"
    )
    batch_size: PositiveInt = Field(
        1,
        le=10**4,
        description="texts generated side by side, which is faster; one by one they are printed as they come",
    )


class ExportHfConfig(Section):
    """A folder in Hugging Face's format: `export/huggingface/` in the run directory."""

    enabled: bool = Field(True, description="write it")
    source: Path | None = Field(
        None,
        description="a folder in that format to export instead of the run's checkpoint; it is left as it is. Of a "
        "fine-tuned model that is `merged/` if it is not said",
    )


class ExportGgufConfig(Section):
    """A file for llama.cpp: `export/<name of the run>-<dtype>.gguf` in the run directory."""

    enabled: bool = Field(True, description="write it")
    dtype: GGUFType = Field("f16", description="number format of its matrices")
    convert_bin: Path | None = Field(
        None,
        description="make it from the folder with llama.cpp's converter: the path of a llama.cpp checkout, of its "
        "`convert_hf_to_gguf.py`, or of `tools/llama_cpp/convert-hf-to-gguf.py`, which looks for one. Checkpoints of "
        "ours do without; for a `source` the last of these is the default",
    )


class ExportOllamaConfig(Section):
    """A model for Ollama: `export/Modelfile` in the run directory, with the options of `[sample.sample]`."""

    enabled: bool = same_as("export.gguf.enabled", "write it")
    convert_bin: Path | None = same_as(
        "export.gguf.convert_bin", "where it differs, Ollama gets a GGUF file of its own, made by this converter"
    )
    quant_bin: Path | None = Field(None, description="llama.cpp's `llama-quantize`, to give Ollama a smaller file")
    quantization: str | None = Field(
        None, pattern=r"^\w+$", description="what `quant_bin` makes: any type that it lists; `Q4_K_M` if it is not said"
    )
