"""Generate texts with the best model of the run."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.experiments import Experiment
from ml_playground.inference.generate import generate, prefill, split_streams, stream_text
from ml_playground.inference.load import load_trained
from ml_playground.inference.prompt import encode_prompt, read_prompt
from ml_playground.models.quantized import quantize
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.records import SampleRow
from ml_playground.run.samples import RULE, SampleWriter
from ml_playground.run.toml_file import other_file_warning
from ml_playground.runtime import (
    compiled,
    memory_errors_explained,
    mix_seed,
    resolve,
)
from ml_playground.utils.paths import display_path


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Sample from the run."""
    sample(config)


@memory_errors_explained()
def sample(config: ExperimentConfig) -> None:
    """Generate texts with the best model of the run, printing them as they come.

    They go to a file of their own in `samples/` too, and with what made them to `samples.jsonl`.
    """
    settings, wanted = config.sample.runtime, config.sample.sample
    run = RunDirectory(settings.out_dir)
    if (warning := other_file_warning(run, config.train.runtime.out_dir, config.file)) is not None:
        print(f"! {warning}", file=sys.stderr)
    runtime = resolve(settings.device, settings.dtype, threads=settings.threads)
    text = read_prompt(wanted.start)
    trained = load_trained(run, spec_of(config.train, config.file.root))
    for warning in trained.warnings:
        print(warning, file=sys.stderr)
    prompt = encode_prompt(text, trained.tokenizer)
    if len(prompt) > trained.model.block_size:
        seen = trained.model.block_size
        print(f"! the prompt has {len(prompt):,} tokens, of which the model sees the last {seen:,}", file=sys.stderr)
    if settings.dtype == "int8":
        quantize(trained.model)
    model = trained.model.to(runtime.device).eval()
    model.cast(runtime.dtype)  # half the bytes to read per token
    if settings.compile:
        model.extend = compiled(model.extend, runtime)  # type: ignore[method-assign]  # of this one model
    print(f"sampling from {display_path(trained.path)} ({trained.progress_line})", file=sys.stderr)
    keep = SampleWriter(run, datetime.now(UTC))
    # Of one group of texts the prompt is read once anyway.
    prefilled = prefill(model, prompt, runtime) if wanted.num_samples > wanted.batch_size else None
    for first in range(0, wanted.num_samples, wanted.batch_size):
        indices = range(first, min(first + wanted.batch_size, wanted.num_samples))
        seeds = [mix_seed(settings.seed, index) for index in indices]
        steps = generate(model, prompt, trained.tokenizer, wanted, runtime=runtime, seeds=seeds, prefilled=prefilled)
        for index, tokens in zip(indices, split_streams(steps, len(seeds)), strict=True):
            print(text, end="")
            row = SampleRow(
                time=_now(),
                checkpoint=trained.path.name,
                step=trained.step,
                seed=settings.seed,
                index=index,
                prompt=text,
                text=_print_as_it_comes(stream_text(trained.tokenizer, tokens)),
                options=wanted.model_dump(exclude={"start", "num_samples", "batch_size"}),
            )
            print(f"\n{RULE}")
            keep(row)


def _print_as_it_comes(pieces: Iterable[str]) -> str:
    """Print pieces of text one after the other and return them as one."""
    text = ""
    for piece in pieces:
        print(piece, end="", flush=True)
        text += piece
    return text


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
