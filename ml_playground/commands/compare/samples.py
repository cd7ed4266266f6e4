"""Texts of each group, from the same prompt and seeds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_playground.analysis.groups import Group
from ml_playground.analysis.members import Member
from ml_playground.analysis.results import Comparison, Sample
from ml_playground.config.experiment import ExperimentConfig, SampleConfig
from ml_playground.config.recorded import recorded_config
from ml_playground.config.sections import SamplingConfig
from ml_playground.errors import PlaygroundError
from ml_playground.utils.extras import needing
from ml_playground.utils.paths import project_root

if TYPE_CHECKING:
    from ml_playground.models.spec import ModelSpec
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

    samples: list[Sample] = []
    notes: list[str] = []
    try:
        chosen = sampling or _config(groups[0].members[0]).sample
    except PlaygroundError as error:
        return replace(comparison, notes=[*comparison.notes, f"no samples: {error}"])
    seeds = range(chosen.runtime.seed, chosen.runtime.seed + count)
    device = resolve("auto", "float32", threads=chosen.runtime.threads)
    for group in (each for each in groups if each.members):
        try:
            texts, warnings = _texts(group, chosen.sample, device, seeds)
        except PlaygroundError as error:
            notes.append(f"no samples of {group.name}: {error}")
            continue
        samples += texts
        notes += [f"samples of {group.name}: {each}" for each in warnings]
    return replace(comparison, samples=samples, notes=[*comparison.notes, *notes])


def _texts(
    group: Group, options: SamplingConfig, runtime: "Runtime", seeds: range
) -> tuple[list[Sample], tuple[str, ...]]:
    """A text for each seed, and warnings about the checkpoint."""
    from ml_playground.inference.generate import generate, split_streams, stream_text
    from ml_playground.inference.load import load_trained
    from ml_playground.inference.prompt import encode_prompt, read_prompt
    from ml_playground.runtime import memory_errors_explained

    with needing("finetune"), memory_errors_explained():
        text = read_prompt(options.start)
        trained = load_trained(group.members[0].run.directory, _spec(group.members[0]))
        model, tokenizer = trained.model.to(runtime.device).eval(), trained.tokenizer
        prompt = encode_prompt(text, tokenizer)
        steps = generate(model, prompt, tokenizer, options, runtime=runtime, seeds=list(seeds))
        texts = ["".join(stream_text(tokenizer, tokens)) for tokens in split_streams(steps, len(seeds))]
    return [Sample(group.name, seed, text, each) for seed, each in zip(seeds, texts, strict=True)], trained.warnings


def _config(member: Member) -> ExperimentConfig:
    """What a run was trained with."""
    return recorded_config(member.record.config, project_root(member.run.directory.info))


def _spec(member: Member) -> "ModelSpec":
    """The pretrained model that a run is fine-tuned from; any other kind of model is known from its checkpoint."""
    from ml_playground.commands.build import finetuned_spec
    from ml_playground.models.kinds import BUILT_IN

    return finetuned_spec(member.run.directory, member.record) or BUILT_IN
