"""Measure a run's checkpoints, or those of all runs of a sweep, on the whole validation text."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ml_playground.commands.build import build_exact_evaluator, build_runtime
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.config.sections import EvaluateConfig
from ml_playground.config.sweep import Sweep
from ml_playground.data.store import Dataset, open_dataset, text_hash
from ml_playground.errors import CheckpointError, DamagedCheckpointError, PlaygroundError, RunDirectoryError
from ml_playground.evaluation import Evaluation
from ml_playground.experiments import Experiment
from ml_playground.inference.load import no_checkpoint_error
from ml_playground.models.base import LanguageModel
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.checkpoint import Checkpoint, load
from ml_playground.run.directory import RunDirectory
from ml_playground.run.evaluations import StoredEvaluation, add_evaluations, read_evaluations
from ml_playground.run.seal import recorded_digest
from ml_playground.run.sweep import SweepRecord
from ml_playground.run.toml_file import other_file_warning
from ml_playground.run.windows import content_hash, write_windows
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.files import unused_name
from ml_playground.utils.paths import display_path


def run(experiment: Experiment, config: ExperimentConfig) -> None:
    """Evaluate the run, or the finished runs of the sweep, all in the windows of its file.

    Raises:
        PlaygroundError: there is nothing to evaluate, or a checkpoint is of other data or weights.
    """
    if not config.sweep.seeds:
        evaluate(config)
        return
    for each in _runs_of_sweep(experiment, config):
        print(f"{display_path(each.train.runtime.out_dir)}:", flush=True)
        evaluate(each)


def _runs_of_sweep(experiment: Experiment, config: ExperimentConfig) -> list[ExperimentConfig]:
    """The configurations of a sweep's finished runs, each with the `[evaluate]` of the sweep."""
    folder = Sweep(config.file.path, name=experiment.name, folder=experiment.folder).folder
    record = SweepRecord.read(folder)
    states = {} if record is None else record.states(folder)
    files = [folder / name / "config.toml" for name, state in states.items() if state == "finished"]
    if not files:
        raise PlaygroundError(f"{display_path(folder)}: no run of this sweep is finished. Run 'sweep' first.")
    runs = (load_config(file, name=experiment.name, folder=experiment.folder) for file in files)
    return [each.model_copy(update={"evaluate": config.evaluate}) for each in runs]


@memory_errors_explained()
def evaluate(config: ExperimentConfig) -> None:
    """Print the exact loss of `ckpt_best.pt` and `ckpt_last.pt`, in windows as `[evaluate]` says.

    It is that of the whole validation text, whatever `eval_iters` is. The results are kept in the run's
    `evaluations.json`. Instead of a damaged `ckpt_last.pt` the one before is taken.

    Raises:
        CheckpointError: there is no sound checkpoint, or one is of other data or weights.
    """
    run = RunDirectory(config.train.runtime.out_dir)
    if (warning := other_file_warning(run, run.path, config.file)) is not None:
        print(f"! {warning}", file=sys.stderr)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    runtime = build_runtime(config.train.runtime)
    context, evaluator = config.evaluate.context, build_exact_evaluator(config.evaluate, dataset)
    spec = spec_of(config.train, config.file.root).for_data(dataset.tokenizer)
    measured: list[_Measured] = []
    for path, digest, checkpoint in _sound_checkpoints(run):
        if checkpoint.origin.data != dataset.manifest.fingerprint:
            raise CheckpointError(
                f"{path} was trained on different data than is prepared now. Prepare the old data again."
            )
        model = _restored(spec, path, checkpoint).to(runtime.device)
        if context > model.block_size:
            key = "[train.data] block_size" if context == config.train.data.block_size else "[evaluate] context"
            raise CheckpointError(
                f"{key} = {context} is beyond the model in {path.name}, whose block_size is {model.block_size}."
            )
        evaluation = evaluator(model, runtime)
        assert evaluation is not None  # no `stop` was given
        print(f"{path.name}, step {checkpoint.progress.step:,}: {evaluation}")
        measured.append(_Measured(path, digest, checkpoint.progress.step, evaluation))
    _keep(run, measured, dataset, config.evaluate)


class _Measured(NamedTuple):
    """A checkpoint with its digest and step, and what it is worth."""

    path: Path
    digest: str
    step: int
    evaluation: Evaluation


def _keep(run: RunDirectory, measured: list[_Measured], dataset: Dataset, settings: EvaluateConfig) -> None:
    """Write what was measured beside the run."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = text_hash(dataset.val, dataset.tokenizer)
    with run.lock("evaluate"), run.writing():
        new: list[StoredEvaluation] = []
        for path, digest, step, evaluation in measured:
            # A new name for new content: the windows that `evaluations.json` names are always those of its loss.
            windows = run.evaluation_windows(path, settings.context, settings.stride, content_hash(evaluation.windows))
            write_windows(windows, evaluation.windows)
            new.append(
                StoredEvaluation(
                    checkpoint=path.name,
                    digest=digest,
                    step=step,
                    context=settings.context,
                    stride=settings.stride,
                    tokens=evaluation.tokens,
                    loss=evaluation.loss,
                    bits_per_byte=evaluation.bits_per_byte,
                    accuracy=evaluation.accuracy,
                    text=text,
                    token_ids=dataset.manifest.val.sha256,
                    time=now,
                    windows=windows.relative_to(run.path).as_posix(),
                )
            )
        _set_aside_if_damaged(run.evaluations)
        add_evaluations(run.evaluations, new)
        _remove_unused_windows(run)


def _remove_unused_windows(run: RunDirectory) -> None:
    """Remove windows that newer ones have replaced, or that were left when an evaluation was killed."""
    used = {run.path / each.windows for each in read_evaluations(run.evaluations)}
    for path in run.evaluation_folder.iterdir():
        if path not in used:
            path.unlink()


def _set_aside_if_damaged(path: Path) -> None:
    try:
        read_evaluations(path)
    except RunDirectoryError as error:
        aside = unused_name(path)
        path.rename(aside)
        print(f"! {error}; it is now {aside.name}", file=sys.stderr)


def _sound_checkpoints(run: RunDirectory) -> Iterator[tuple[Path, str, Checkpoint]]:
    """The best checkpoint and the newest, each with its digest; each that is damaged is reported on stderr.

    Raises:
        CheckpointError: there is none.
    """
    found = damaged = 0
    for choices in ([run.best_checkpoint], [run.last_checkpoint, run.previous_checkpoint]):
        for path in filter(Path.exists, choices):
            try:
                digest, checkpoint = _loaded(path)
            except DamagedCheckpointError as error:
                damaged += 1
                print(error, file=sys.stderr)
            else:
                found += 1
                yield path, digest, checkpoint
                break
    if damaged and not found:
        raise CheckpointError(f"{display_path(run.path)}: no intact checkpoint is left.")
    if not found:
        raise no_checkpoint_error(run, option="[train.runtime] out_dir")


def _loaded(path: Path) -> tuple[str, Checkpoint]:
    """A checkpoint with its digest; it is read again where a training replaces it meanwhile."""
    while True:
        digest, checkpoint = recorded_digest(path), load(path)
        if digest is not None and digest == recorded_digest(path):
            return digest, checkpoint


def _restored(spec: ModelSpec, path: Path, checkpoint: Checkpoint) -> LanguageModel:
    """The model of the checkpoint at `path`, with averaged weights where there are any.

    Where the configuration describes another one, that is reported on stderr.

    Raises:
        CheckpointError: the configuration names a model of another kind, or other weights than were fine-tuned.
    """
    resumed, kept = spec.resume(checkpoint.origin.model_args)
    for key, saved, stated in kept:
        print(f"{path.name} has {key} = {saved!r}, the configuration says {stated!r}", file=sys.stderr)
    if (warning := resumed.verify_identity(checkpoint.origin.model_identity, path.name)) is not None:
        print(warning, file=sys.stderr)
    return resumed.restore(checkpoint.averaged_weights)
