"""Texts of each group, from the same prompt and seeds."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_playground.analysis.groups import Group
from ml_playground.analysis.results import Comparison, Sample
from ml_playground.config.experiment import SampleConfig
from ml_playground.config.sections import SampleRuntimeConfig, SamplingConfig
from ml_playground.errors import PlaygroundError
from ml_playground.utils.tables import Table

if TYPE_CHECKING:
    from ml_playground.runtime import Runtime


def with_samples(
    comparison: Comparison, groups: Sequence[Group], count: int, sampling: SampleConfig | None
) -> Comparison:
    """The comparison with texts by the best checkpoint of each group's first run, where it can be loaded.

    Args:
        comparison: the table.
        groups: those in it.
        count: texts of each.
        sampling: how they are sampled; None for what the base's `[sample]` says.
    """
    from ml_playground.runtime import resolve

    stated: Table = groups[0].members[0].record.config["sample"]
    runtime = SampleRuntimeConfig.model_validate_json(json.dumps(stated["runtime"]))
    options = SamplingConfig.model_validate_json(json.dumps(stated["sample"]))
    if sampling is not None:
        runtime, options = sampling.runtime, sampling.sample
    device = resolve(runtime.device, "float32", threads=runtime.threads)
    samples: list[Sample] = []
    notes: list[str] = []
    for group in (each for each in groups if each.members):
        try:
            samples += _texts(group, options, device, range(runtime.seed, runtime.seed + count))
        except PlaygroundError as error:
            notes.append(f"no samples of {group.name}: {error}")
    return replace(comparison, samples=samples, notes=[*comparison.notes, *notes])


def _texts(group: Group, options: SamplingConfig, runtime: "Runtime", seeds: range) -> Iterator[Sample]:
    """A text for each seed."""
    from ml_playground.inference.generate import generate, split_streams, stream_text
    from ml_playground.inference.load import load_trained
    from ml_playground.inference.prompt import encode_prompt, read_prompt

    text = read_prompt(options.start)
    trained = load_trained(group.members[0].run.directory)
    model = trained.model.to(runtime.device).eval()
    steps = generate(
        model, encode_prompt(text, trained.tokenizer), trained.tokenizer, options, runtime=runtime, seeds=list(seeds)
    )
    for seed, tokens in zip(seeds, split_streams(steps, len(seeds)), strict=True):
        yield Sample(group.name, seed, text, "".join(stream_text(trained.tokenizer, tokens)))
