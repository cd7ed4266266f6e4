"""What no single key can tell: options that do not fit each other or this machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from ml_playground.config.devices import missing_device
from ml_playground.config.experiment import ExperimentConfig, ExportConfig
from ml_playground.config.sections import DecayingScheduleConfig, HfModelConfig, PeftConfig, PrepareConfig, SweepConfig
from ml_playground.utils.tables import KeyPath


@dataclass(frozen=True)
class Conflict:
    """A contradiction between options; the first of `keys` that the file states is the one to point at."""

    keys: tuple[KeyPath, ...]
    text: str


def find_conflicts(config: ExperimentConfig) -> Iterator[Conflict]:
    """Contradictions within the configuration."""
    model, data = config.train.model, config.train.data
    for names, text in model.conflicts():
        yield Conflict(tuple(("train", "model", name) for name in names), text)
    yield from _prepare_conflicts(config.prepare)
    yield from _finetuning_conflicts(config)
    if data.block_size > model.block_size:
        yield Conflict(
            (("train", "data", "block_size"), ("train", "model", "block_size")),
            f"{data.block_size} is beyond the model's block_size = {model.block_size}",
        )
    yield from _evaluation_conflicts(config)
    yield from _export_conflicts(config.export)
    sinks = config.train.runtime.sinks
    if twice := next((each for index, each in enumerate(sinks) if each in sinks[:index]), None):
        yield Conflict((("train", "runtime", "sinks"),), f'has "{twice.kind}" twice, with the same options')
    yield from _schedule_conflicts(config)
    yield from _sweep_conflicts(config.sweep)


def _evaluation_conflicts(config: ExperimentConfig) -> Iterator[Conflict]:
    evaluate, hf_model = config.evaluate, config.train.hf_model
    context = ("evaluate", "context")
    name, section = ("model", config.train.model) if hf_model.model_name is None else ("hf_model", hf_model)
    if evaluate.context > section.block_size:
        yield Conflict((context,), f"{evaluate.context} is beyond [train.{name}] block_size = {section.block_size}")
    if evaluate.stride > evaluate.context:
        yield Conflict(
            (("evaluate", "stride"), context),
            f"{evaluate.stride} is beyond context = {evaluate.context}: tokens in between would not be predicted",
        )


def _schedule_conflicts(config: ExperimentConfig) -> Iterator[Conflict]:
    schedule, runtime = config.train.schedule, config.train.runtime
    max_iters = ("train", "runtime", "max_iters")
    if schedule.warmup_iters > runtime.max_iters:
        yield Conflict(
            (("train", "schedule", "warmup_iters"), max_iters),
            f"warm-up of {schedule.warmup_iters} steps is longer than training, max_iters = {runtime.max_iters}",
        )
    if not isinstance(schedule, DecayingScheduleConfig):
        return
    if schedule.lr_decay_iters < schedule.warmup_iters <= runtime.max_iters:
        yield Conflict(
            (("train", "schedule", "lr_decay_iters"), ("train", "schedule", "warmup_iters")),
            f"the decay ends at step {schedule.lr_decay_iters}, within the warm-up of {schedule.warmup_iters} steps",
        )
    if schedule.min_lr > config.train.optim.learning_rate:
        yield Conflict(
            (("train", "schedule", "min_lr"), ("train", "optim", "learning_rate")),
            f"{schedule.min_lr:g} is above learning_rate = {config.train.optim.learning_rate:g}",
        )


def _prepare_conflicts(prepare: PrepareConfig) -> Iterator[Conflict]:
    source, tokenizer, split = prepare.source, prepare.tokenizer, prepare.split
    source_kind, tokenizer_kind = ("prepare", "source", "kind"), ("prepare", "tokenizer", "kind")
    if tokenizer.is_of_model and tokenizer.of_model is None:
        yield Conflict(
            (tokenizer_kind,),
            "needs [prepare.tokenizer] model, [train.hf_model] model_name or [train.model] init_from: the model "
            "whose tokenizer it is",
        )
    if source.packing != "ended":
        for name in ("doc_separator", "add_structure_tokens"):
            if getattr(prepare, name):
                yield Conflict(
                    (("prepare", name),), f'needs a source of whole documents, such as "files", not "{source.kind}"'
                )
    if split.splits_documents != (source.packing != "running"):
        parts, whole = ("documents", "running text") if split.splits_documents else ("running text", "documents")
        yield Conflict(
            (("prepare", "split", "kind"), source_kind),
            f'"{split.kind}" splits {parts}, but [prepare] source = "{source.kind}" has {whole}',
        )
    listed = prepare.add_structure_tokens if isinstance(prepare.add_structure_tokens, list) else []
    twice = next((name for index, name in enumerate(listed) if name in listed[:index]), None)
    if twice is not None:
        yield Conflict((("prepare", "add_structure_tokens"),), f'has "{twice}" twice')
    unknown = [name for name in listed if name not in source.fields]
    if unknown and source.packing == "ended":
        known = f"has {', '.join(source.fields)}" if source.fields else "has no fields"
        yield Conflict((("prepare", "add_structure_tokens"),), f'source = "{source.kind}" {known}, not {unknown[0]}')
    if tokenizer.takes_tokens or source.packing != "ended" or unknown or twice is not None:
        return
    added = [("prepare", "source", option) for option in source.tags]
    for key in [*added, *([("prepare", "add_structure_tokens")] if prepare.add_structure_tokens else [])]:
        yield Conflict(
            (key, source_kind),
            f'needs tokenizer = "huggingface", to which tokens can be added; "{tokenizer.kind}" is fixed',
        )


def _finetuning_conflicts(config: ExperimentConfig) -> Iterator[Conflict]:
    """What does not fit a model of `[train.hf_model]`, or the lack of one."""
    hf_model, peft, model_name = config.train.hf_model, config.train.peft, ("train", "hf_model", "model_name")
    if hf_model.model_name is None:
        for section, options in (("hf_model", HfModelConfig), ("peft", PeftConfig)):
            keys = tuple(("train", section, name) for name in options.model_fields if name != "model_name")
            yield Conflict(keys, "means nothing without [train.hf_model] model_name: the model to train")
        if config.train.runtime.save_merged_on_best:
            yield Conflict((("train", "runtime", "save_merged_on_best"),), "needs [train.hf_model] model_name")
        return
    shape = tuple(("train", "model", name) for name in type(config.train.model).model_fields)
    yield Conflict(shape, "describes a built-in model, but [train.hf_model] model_name names the model")
    if not config.prepare.tokenizer.is_of_model:
        yield Conflict(
            (("prepare", "tokenizer", "kind"), model_name),
            f'is "{config.prepare.tokenizer.kind}", but the model knows its own tokens only: set "huggingface"',
        )
    elif config.prepare.tokenizer.of_model != hf_model.model_name:
        yield Conflict(
            (("prepare", "tokenizer", "model"), model_name),
            f"must be [train.hf_model] model_name = {hf_model.model_name}, which knows its own tokens only",
        )
    if peft.bias != "none" and hf_model.dtype != config.train.runtime.dtype:
        yield Conflict(
            (("train", "hf_model", "dtype"), ("train", "peft", "bias")),
            f"must be the dtype of the training, {config.train.runtime.dtype}, where biases are trained",
        )
    if not peft.enabled and hf_model.dtype != config.train.runtime.dtype:
        yield Conflict(
            (("train", "hf_model", "dtype"), ("train", "peft", "enabled")),
            "is for weights that are not trained, and [train.peft] enabled = false trains them all, in float32",
        )
    if config.train.data.block_size > hf_model.block_size:
        yield Conflict(
            (("train", "data", "block_size"), ("train", "hf_model", "block_size")),
            f"{config.train.data.block_size} is beyond [train.hf_model] block_size = {hf_model.block_size}",
        )
    if hf_model.quantization != "none" and not peft.enabled:
        yield Conflict(
            (("train", "peft", "enabled"),), "false trains all weights, which cannot be done with quantized ones"
        )
    if hf_model.quantization != "none" and config.train.runtime.device in ("cpu", "mps"):
        yield Conflict((("train", "hf_model", "quantization"),), 'is for CUDA; set "none"')


def _export_conflicts(export: ExportConfig) -> Iterator[Conflict]:
    hf, gguf, ollama = export.hf, export.gguf, export.ollama
    if ollama.enabled and not gguf.enabled and ollama.convert_bin == gguf.convert_bin:
        yield Conflict(
            (("export", "gguf", "enabled"), ("export", "ollama", "enabled")),
            "Ollama runs the file of [export.gguf]: enable that, or neither",
        )
    for name, section in (("gguf", gguf), ("ollama", ollama)):
        if section.enabled and section.convert_bin is not None and not (hf.enabled or hf.source):
            yield Conflict(
                (("export", name, "convert_bin"), ("export", "hf", "enabled")),
                "the converter reads the folder of [export.hf], which is not enabled",
            )
    if ollama.enabled and ollama.quantization is not None and ollama.quant_bin is None:
        yield Conflict(
            (("export", "ollama", "quantization"),), "needs quant_bin, the llama-quantize of a llama.cpp build"
        )
    if ollama.enabled and ollama.quant_bin is not None and gguf.dtype == "q8_0":
        yield Conflict(
            (("export", "gguf", "dtype"), ("export", "ollama", "quant_bin")),
            "quant_bin needs weights that are not quantized yet: set f16 or f32",
        )


def _sweep_conflicts(sweep: SweepConfig) -> Iterator[Conflict]:
    if not sweep.seeds:
        others = tuple(("sweep", name) for name in SweepConfig.model_fields if name != "seeds")
        yield Conflict((("sweep", "seeds"), *others), "a sweep needs seeds, such as [sweep] seeds = [1, 2, 3, 4, 5]")
    if sweep.halving and len(sweep.horizons) == 1:
        yield Conflict(
            (("sweep", "halving"),),
            "drops arms between horizons: set two or more, such as [0.25, 0.5, 1.0]",
        )


def device_conflicts(config: ExperimentConfig) -> Iterator[Conflict]:
    """Devices that this machine lacks."""
    for verb, device in (("train", config.train.runtime.device), ("sample", config.sample.runtime.device)):
        if (why := missing_device(device)) is not None:
            yield Conflict(((verb, "runtime", "device"),), f'{why} ("auto" takes the best available)')
