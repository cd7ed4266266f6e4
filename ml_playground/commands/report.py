"""Write a page about the best checkpoint of a run."""

import sys
from collections.abc import Sequence
from typing import Any

from ml_playground.analysis.report import VERSION, make_report
from ml_playground.analysis.report_page import as_html, as_markdown
from ml_playground.analysis.subject import Subject
from ml_playground.commands.best import Best
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.experiments import Experiment
from ml_playground.inference.generate import generate, prefill, split_streams
from ml_playground.inference.prompt import encode_prompt, read_prompt
from ml_playground.runtime import memory_errors_explained, mix_seed
from ml_playground.utils.paths import display_path

_PAGES = ("report.html", "report.md")


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Report on the run."""
    report(config)


@memory_errors_explained()
def report(config: ExperimentConfig) -> None:
    """Write `report.html`, `report.md` and `report.json`, unless they are up to date.

    Raises:
        CheckpointError: there is no sound checkpoint, or it was trained on other data.
    """
    best, text = Best.find(config), read_prompt(config.sample.sample.start)
    settings = _settings(config, text)
    record = best.run.report / "report.json"
    page = record.with_suffix(".html")
    if best.is_described_by(record, settings, _PAGES):
        print(f"{display_path(page)} is up to date")
        return
    source, subject = best.load(config, settings)
    _say("samples")
    samples = _samples(subject, encode_prompt(text, subject.dataset.tokenizer), config)
    made = make_report(best.run.name, source, subject, samples, config.report, _say)
    best.keep("report", record, made.as_json(), dict(zip(_PAGES, (as_html(made), as_markdown(made)), strict=True)))
    print(f"wrote {display_path(page)}, and report.md and report.json beside it")


def _say(part: str) -> None:
    print(f"measuring: {part}", file=sys.stderr)


def _settings(config: ExperimentConfig, prompt: str) -> dict[str, Any]:
    """What decides what a report says: its version and the options."""
    train, sample = config.train, config.sample
    return {
        "version": VERSION,
        "report": config.report.model_dump(exclude={"batch_size"}),
        "sample": sample.sample.model_dump(exclude={"start", "num_samples", "batch_size"}) | {"prompt": prompt},
        "seed": sample.runtime.seed,
        "block_size": train.data.block_size,
        "eval_iters": train.runtime.eval_iters,
        "dtype": train.runtime.dtype,
    }


def _samples(subject: Subject, prompt: Sequence[int], config: ExperimentConfig) -> list[list[int]]:
    """The ids of the texts that `sample` would generate, without the prompt."""
    settings, sampling, seed = config.report, config.sample.sample, config.sample.runtime.seed
    model, tokenizer, runtime = subject.model, subject.dataset.tokenizer, subject.runtime
    prefilled = prefill(model, prompt, runtime)
    made: list[list[int]] = []
    for first in range(0, settings.num_samples, settings.batch_size):
        seeds = [
            mix_seed(seed, index) for index in range(first, min(first + settings.batch_size, settings.num_samples))
        ]
        steps = generate(model, prompt, tokenizer, sampling, runtime=runtime, seeds=seeds, prefilled=prefilled)
        made += [list(tokens) for tokens in split_streams(steps, len(seeds))]
    return made
