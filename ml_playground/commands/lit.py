"""Show runs in the browser with LIT."""

import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ml_playground.analysis.salience import has_other_tables
from ml_playground.commands import load_experiment
from ml_playground.commands.build import build_runtime, finetuned_spec
from ml_playground.commands.find_runs import of_folders
from ml_playground.commands.one_run import require_one_run
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import open_dataset
from ml_playground.errors import PlaygroundError
from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.records import RunRecord
from ml_playground.runtime import Runtime, memory_errors_explained
from ml_playground.utils.paths import display_path

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from ml_playground.analysis.examples import Example
    from ml_playground.analysis.lit.subject import Subject
    from ml_playground.analysis.lit.turns import Turns


@memory_errors_explained()
def run(experiment: str, runs: list[Path], exp_config: Path | None) -> None:
    """Serve a page on this machine until Ctrl-C.

    Raises:
        PlaygroundError: LIT is not installed, a run has no checkpoint, or the port is taken.
    """
    if find_spec("lit_nlp.app") is None:  # a folder at the root of the project has that name too
        raise PlaygroundError(
            "LIT is not installed here. `make lit` sets up an environment for it, .venv-lit, and starts it there."
        )
    from ml_playground.analysis.lit.server import bind, port_of, serve
    from ml_playground.analysis.lit.turns import Turns

    found, config = load_experiment(experiment, exp_config, check_devices=True)
    shown = runs or config.lit.runs
    if not shown:
        require_one_run(found, config)
    with bind(config.lit.port) as listening:  # before what takes time
        turns = Turns()
        app = build(config, shown, port_of(listening), turns)
        print(f"http://127.0.0.1:{port_of(listening)}/ (Ctrl-C ends it)", flush=True)
        serve(app, listening)
        turns.stop()


def build(config: ExperimentConfig, folders: Sequence[Path], port: int, turns: "Turns") -> "WSGIApplication":
    """The page of some runs, for a server at `port`.

    Args:
        config: of the experiment, whose validation texts are shown.
        folders: run directories, or folders of some; none means `[sample.runtime] out_dir`.
        port: the only one that is answered at.
        turns: what computations take.
    """
    from ml_playground.analysis.examples import sample_examples, validation_examples
    from ml_playground.analysis.lit.app import CLIENT, build_app
    from ml_playground.analysis.lit.server import Guard, page_files
    from ml_playground.analysis.lit.subject import acquainted

    directories = [RunDirectory(each) for each in dict.fromkeys(_found(config, folders))]
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    runtime = build_runtime(config.train.runtime)
    loaded = [_load(each, config) for each in directories]
    subjects = _subjects(directories, loaded, config, runtime, turns)
    context = min(trained.model.block_size for trained in loaded)
    texts = validation_examples(dataset, config.lit.examples, context)
    subjects, validation = acquainted(subjects, texts, dataset.tokenizer)
    if not validation:
        raise PlaygroundError(
            "no text of the validation split has only characters for which each run has a token. "
            "Show them one at a time, or prepare other data."
        )
    _report_left_out(len(texts) - len(validation), len(texts), "of the validation split")
    samples: list[list[Example]] = []
    for name, directory, trained in zip([each.name for each in subjects], directories, loaded, strict=True):
        texts = sample_examples(Run(directory), trained.tokenizer, trained.model.block_size)
        subjects, written = acquainted(subjects, texts, trained.tokenizer)
        _report_left_out(len(texts) - len(written), len(texts), f"that {name} has sampled")
        samples.append(written)
    return Guard(
        build_app(
            subjects,
            [f"{display_path(trained.path)}: {trained.progress_line}" for trained in loaded],
            validation,
            samples,
            title=config.file.path.parent.name,
        ),
        page_files(CLIENT),
        port,
    )


def _report_left_out(count: int, total: int, which: str) -> None:
    if count:
        print(
            f"! {count} of {total} texts {which} are left out: a run has no token for one of their characters, or they "
            "are a single token.",
            file=sys.stderr,
        )


def _found(config: ExperimentConfig, folders: Sequence[Path]) -> list[Path]:
    """The run directories."""
    if not folders:
        return [config.sample.runtime.out_dir]
    return [folder.resolve() for folder in of_folders(folders, None).folders]


def _load(directory: RunDirectory, config: ExperimentConfig) -> TrainedModel:
    """The best model of a run, which may be fine-tuned from another one than that of the configuration."""
    record = RunRecord.read(directory.info)
    spec = None if record is None else finetuned_spec(directory, record)
    trained = load_trained(directory, spec or spec_of(config.train, config.file.root))
    for warning in trained.warnings:
        print(warning, file=sys.stderr)
    if has_other_tables(trained.model):
        print(
            f"! {display_path(trained.path)}: this model has n-gram or value embeddings, and the gradients show only "
            "what the token embeddings contribute. Use erasure.",
            file=sys.stderr,
        )
    return trained


def _subjects(
    directories: Sequence[RunDirectory],
    loaded: Sequence[TrainedModel],
    config: ExperimentConfig,
    runtime: Runtime,
    turns: "Turns",
) -> "list[Subject]":
    from ml_playground.analysis.lit.subject import Subject

    names = unique_names([each.path for each in directories])
    return [
        Subject(
            name,
            trained.model.to(runtime.device).eval(),
            trained.tokenizer,
            runtime,
            config.sample.sample,
            config.sample.runtime.seed,
            turns,
        )
        for name, trained in zip(names, loaded, strict=True)
    ]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """The names of some folders, with as many of the folders above as tell them apart.

    The page splits at some characters, and those that have a meaning in an address would get lost.
    """
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        names = [re.sub(r"[^\w.-]+", "-", "-".join(path.parts[-depth:])).strip("-_") for path in paths]
        if len(set(names)) == len(names) and all(names):
            return names
    return [f"run-{number}" for number in range(1, 1 + len(paths))]
