"""The page of some runs, and its server."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.types import WSGIApplication

from ml_playground.analysis.examples import Example, sample_examples, validation_examples
from ml_playground.analysis.lit.app import CLIENT, build_app
from ml_playground.analysis.lit.server import Guard, bind, page_files, port_of, serve
from ml_playground.analysis.lit.subject import Subject, acquainted
from ml_playground.analysis.lit.turns import Turns
from ml_playground.analysis.salience import has_other_tables
from ml_playground.commands.build import build_runtime, finetuned_spec
from ml_playground.commands.find_runs import of_folders
from ml_playground.commands.lit.names import unique_names
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import PlaygroundError
from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.records import RunRecord
from ml_playground.run.toml_file import other_file_warning
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.paths import display_path

_OTHER_DATA = "trained on other data than is prepared now: these texts may be among it."


@memory_errors_explained()
def show(config: ExperimentConfig, folders: Sequence[Path]) -> None:
    """Serve a page on this machine until Ctrl-C.

    Args:
        config: of the experiment, whose validation texts are shown.
        folders: see `build`.

    Raises:
        PlaygroundError: a run has no checkpoint, or the port is taken.
    """
    with bind(config.lit.port) as listening:  # before what takes time
        turns = Turns()
        app = build(config, folders, port_of(listening), turns)
        print(f"http://127.0.0.1:{port_of(listening)}/ (Ctrl-C ends it)", flush=True)
        serve(app, listening)
        turns.stop()


def build(config: ExperimentConfig, folders: Sequence[Path], port: int, turns: Turns) -> WSGIApplication:
    """The page of some runs, for a server at `port`.

    Args:
        config: of the experiment, whose validation texts are shown.
        folders: run directories, or folders of some; none means `[sample.runtime] out_dir`.
        port: the only one that is answered at.
        turns: what computations take.
    """
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    shown = _shown(config, folders)
    other_data = [_warn_of(each, config, dataset) for each in shown]
    subjects = _subjects(shown, config, turns)
    context = min(each.trained.model.block_size for each in shown)
    texts = validation_examples(dataset, config.lit.examples, context)
    subjects, validation = acquainted(subjects, texts, dataset.tokenizer)
    if not validation:
        raise PlaygroundError(
            "no text of the validation split has only characters for which each run has a token. "
            "Show them one at a time, or prepare other data."
        )
    _report_left_out(len(texts) - len(validation), len(texts), "of the validation split")
    samples: list[list[Example]] = []
    for each in shown:
        tokenizer = each.trained.tokenizer
        texts = sample_examples(Run(each.directory), tokenizer, each.trained.model.block_size)
        subjects, written = acquainted(subjects, texts, tokenizer)
        _report_left_out(len(texts) - len(written), len(texts), f"that {each.name} has sampled")
        samples.append(written)
    return Guard(
        build_app(
            subjects,
            [
                f"{display_path(each.trained.path)}: {each.trained.progress_line}{'. ' if warning else ''}{warning}"
                for each, warning in zip(shown, other_data, strict=True)
            ],
            validation,
            samples,
            title=config.file.path.parent.name,
        ),
        page_files(CLIENT),
        port,
    )


def _warn(line: str) -> None:
    print(f"! {line}", file=sys.stderr)


def _report_left_out(count: int, total: int, which: str) -> None:
    if count:
        _warn(
            f"{count} of {total} texts {which} are left out: a run has no token for one of their characters, or they "
            "are a single token."
        )


@dataclass(frozen=True)
class _Shown:
    """A run that is shown.

    Attributes:
        name: what the page calls it.
        directory: where it is.
        trained: its best model.
    """

    name: str
    directory: RunDirectory
    trained: TrainedModel


def _shown(config: ExperimentConfig, folders: Sequence[Path]) -> list[_Shown]:
    """The runs in some folders, without those that cannot be loaded; that of the configuration if there are no folders.

    Raises:
        PlaygroundError: there is none that can be loaded.
    """
    if not folders:
        directory = RunDirectory(config.sample.runtime.out_dir)
        loaded, arms = {directory.path: _load(directory, config)}, {}
    else:
        found = of_folders(folders, None)
        loaded, arms = {}, found.names
        reasons = [f"{each.name}: {each.reason}" for each in found.left_out]
        for path in dict.fromkeys(folder.resolve() for folder in found.folders):
            try:
                loaded[path] = _load(RunDirectory(path), config)
            except PlaygroundError as error:
                reasons.append(str(error))
        if not loaded:
            raise PlaygroundError("\n".join(["none of these runs can be shown:", *reasons]))
        for line in [*found.notes, *(f"left out: {reason}" for reason in reasons)]:
            _warn(line)
    names = unique_names(list(loaded), arms)
    return [
        _Shown(name, RunDirectory(path), trained) for name, (path, trained) in zip(names, loaded.items(), strict=True)
    ]


def _load(directory: RunDirectory, config: ExperimentConfig) -> TrainedModel:
    """The best model of a run, which may be fine-tuned from another one than that of the configuration."""
    record = RunRecord.read(directory.info)
    spec = None if record is None else finetuned_spec(directory, record)
    return load_trained(directory, spec or spec_of(config.train, config.file.root), option="[lit] runs")


def _warn_of(shown: _Shown, config: ExperimentConfig, dataset: Dataset) -> str:
    """Print what is to be known of a run. What the page says of its data is returned; empty if that is the prepared."""
    trained = shown.trained
    for warning in trained.warnings:
        print(warning, file=sys.stderr)
    if (other := other_file_warning(shown.directory, config.train.runtime.out_dir, config.file)) is not None:
        _warn(other)
    if has_other_tables(trained.model):
        _warn(
            f"{display_path(trained.path)}: this model has n-gram or value embeddings, and the gradients show only "
            "what the token embeddings contribute. Use erasure."
        )
    if trained.data is None:
        same = trained.tokenizer.describe() == dataset.tokenizer.describe()
    else:
        same = trained.data == dataset.manifest.fingerprint
    if same:
        return ""
    _warn(f"{display_path(trained.path)} was {_OTHER_DATA}")
    return _OTHER_DATA[0].upper() + _OTHER_DATA[1:]


def _subjects(shown: Sequence[_Shown], config: ExperimentConfig, turns: Turns) -> list[Subject]:
    runtime = build_runtime(config.train.runtime)
    return [
        Subject(
            each.name,
            each.trained.model.to(runtime.device).eval(),
            each.trained.tokenizer,
            runtime,
            config.sample.sample,
            config.sample.runtime.seed,
            turns,
        )
        for each in shown
    ]
