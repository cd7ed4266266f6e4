"""Write a page about the best checkpoint of a run."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_playground.analysis.report import Report, Source, Subject, make_report
from ml_playground.analysis.report_page import as_html, as_markdown
from ml_playground.commands.build import build_evaluator, build_runtime
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import CheckpointError
from ml_playground.experiments import Experiment
from ml_playground.inference.generate import generate, prefill, split_streams
from ml_playground.inference.load import TrainedModel, best_weights_hash, load_trained, weights_hash
from ml_playground.inference.prompt import encode_prompt, read_prompt
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.toml_file import other_file_warning
from ml_playground.runtime import Runtime, memory_errors_explained, mix_seed
from ml_playground.utils.files import atomic_write, read_file, write_json
from ml_playground.utils.paths import display_path


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Report on the run."""
    report(config)


@memory_errors_explained()
def report(config: ExperimentConfig) -> None:
    """Write `report.html`, `report.md` and `report.json`, unless they are up to date.

    Raises:
        CheckpointError: there is no sound checkpoint, or it was trained on other data.
    """
    run = RunDirectory(config.sample.runtime.out_dir)
    if (warning := other_file_warning(run, config.train.runtime.out_dir, config.file)) is not None:
        print(f"! {warning}", file=sys.stderr)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    spec, text = spec_of(config.train, config.file.root), read_prompt(config.sample.sample.start)
    settings, digest = _settings(config, text), _best_hash(run, spec)
    page = run.report / "report.html"
    if _is_up_to_date(run.report, digest, dataset.manifest.fingerprint, settings):
        print(f"{display_path(page)} is up to date")
        return
    trained, digest = _loaded(run, spec, digest)
    for warning in trained.warnings:
        print(warning, file=sys.stderr)
    _require_fit(trained, dataset, config)
    source = Source(
        checkpoint=trained.path.relative_to(run.path).as_posix(),
        sha256=digest,
        step=trained.step,
        data=dataset.manifest.fingerprint,
        settings=settings,
    )
    evaluator, runtime = build_evaluator(config, dataset), build_runtime(config.train.runtime)
    trained.model.to(runtime.device).eval()
    _say("samples")
    samples = _samples(trained, encode_prompt(text, trained.tokenizer), config, runtime)
    subject = Subject(trained.model, dataset, runtime, config.train.data.block_size, evaluator)
    _keep(run, make_report(run.path.name, source, subject, samples, config.report, _say))
    print(f"wrote {display_path(page)}, and report.md and report.json beside it")


def _say(part: str) -> None:
    print(f"measuring: {part}", file=sys.stderr)


def _settings(config: ExperimentConfig, prompt: str) -> dict[str, Any]:
    """The options that decide what a report says."""
    train, sample = config.train, config.sample
    return {
        "report": config.report.model_dump(exclude={"batch_size"}),
        "sample": sample.sample.model_dump(exclude={"start", "num_samples", "batch_size"}) | {"prompt": prompt},
        "seed": sample.runtime.seed,
        "block_size": train.data.block_size,
        "eval_iters": train.runtime.eval_iters,
        "dtype": train.runtime.dtype,
    }


def _best_hash(run: RunDirectory, spec: ModelSpec) -> str | None:
    """The hash of the best weights, None where there are none of ours."""
    try:
        return best_weights_hash(run, spec)
    except CheckpointError:
        return None


def _is_up_to_date(folder: Path, digest: str | None, data: str, settings: dict[str, Any]) -> bool:
    """Whether the report there was made from these weights, data and settings."""
    try:
        stored = json.loads(read_file(folder / "report.json"))["source"]
        made_from = stored["sha256"], stored["data"], stored["settings"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: it is written again
        return False
    whole = all((folder / name).is_file() for name in ("report.html", "report.md"))
    return whole and made_from == (digest, data, settings)


def _loaded(run: RunDirectory, spec: ModelSpec, digest: str | None) -> tuple[TrainedModel, str]:
    """The best model with the hash of its weights; it is read again where a training replaces it meanwhile.

    Raises:
        CheckpointError: there is none.
    """
    while True:
        trained = load_trained(run, spec)
        before, digest = digest, weights_hash(trained.path)
        if digest == before:
            return trained, digest


def _require_fit(trained: TrainedModel, dataset: Dataset, config: ExperimentConfig) -> None:
    """Raises CheckpointError if the model was trained on other data or takes fewer tokens than are to be evaluated."""
    name = display_path(trained.path)
    if trained.data is None:
        same = trained.tokenizer.describe() == dataset.tokenizer.describe()
    else:
        same = trained.data == dataset.manifest.fingerprint
    if not same:
        raise CheckpointError(f"{name} was trained on different data than is prepared now. Prepare the old data again.")
    context, most = config.train.data.block_size, trained.model.block_size
    if context > most:
        raise CheckpointError(
            f"[train.data] block_size = {context} is beyond the model in {name}, whose block_size is {most}. "
            f"Set it to {most}."
        )


def _samples(
    trained: TrainedModel, prompt: Sequence[int], config: ExperimentConfig, runtime: Runtime
) -> list[list[int]]:
    """The ids of the texts that `sample` would generate, without the prompt."""
    settings, sampling, seed = config.report, config.sample.sample, config.sample.runtime.seed
    prefilled = prefill(trained.model, prompt, runtime)
    made: list[list[int]] = []
    for first in range(0, settings.num_samples, settings.batch_size):
        seeds = [
            mix_seed(seed, index) for index in range(first, min(first + settings.batch_size, settings.num_samples))
        ]
        steps = generate(
            trained.model, prompt, trained.tokenizer, sampling, runtime=runtime, seeds=seeds, prefilled=prefilled
        )
        made += [list(tokens) for tokens in split_streams(steps, len(seeds))]
    return made


def _keep(run: RunDirectory, made: Report) -> None:
    """Write the three files, `report.json` last: by it one sees whether they are up to date."""
    html, markdown = as_html(made), as_markdown(made)
    with run.lock("report"), run.writing():
        run.report.mkdir(parents=True, exist_ok=True)
        for name, text in (("report.html", html), ("report.md", markdown)):
            with atomic_write(run.report / name) as file:
                file.write(text.encode(errors="backslashreplace"))
        write_json(run.report / "report.json", made.as_json())
