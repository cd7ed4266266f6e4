"""Measure a run's checkpoints on the whole validation text."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ml_playground.commands.build import build_evaluator, build_runtime
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import open_dataset
from ml_playground.errors import CheckpointError, DamagedCheckpointError
from ml_playground.experiments import Experiment
from ml_playground.inference.load import no_checkpoint_error
from ml_playground.models.base import LanguageModel
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.checkpoint import Checkpoint, load
from ml_playground.run.directory import RunDirectory
from ml_playground.run.toml_file import other_file_warning
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.paths import display_path


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Evaluate the run."""
    evaluate(config)


@memory_errors_explained()
def evaluate(config: ExperimentConfig) -> None:
    """Print the validation loss of `ckpt_best.pt` and `ckpt_last.pt`, measured as `[train.runtime]` says.

    Nothing is written. Instead of a damaged `ckpt_last.pt` the one before is taken.

    Raises:
        CheckpointError: there is no sound checkpoint, or one is of other data or weights.
    """
    run = RunDirectory(config.train.runtime.out_dir)
    if (warning := other_file_warning(run, run.path, config.file)) is not None:
        print(f"! {warning}", file=sys.stderr)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    runtime = build_runtime(config.train.runtime)
    evaluator = build_evaluator(config, dataset)
    spec = spec_of(config.train, config.file.root).for_data(dataset.tokenizer)
    for path, checkpoint in _sound_checkpoints(run):
        if checkpoint.origin.data != dataset.manifest.fingerprint:
            raise CheckpointError(
                f"{path} was trained on different data than is prepared now. Prepare the old data again."
            )
        model = _restored(spec, path, checkpoint).to(runtime.device)
        if config.train.data.block_size > model.block_size:
            raise CheckpointError(
                f"[train.data] block_size = {config.train.data.block_size} is beyond the model in {path.name}, "
                f"whose block_size is {model.block_size}."
            )
        print(f"{path.name}, step {checkpoint.progress.step:,}: {evaluator(model, runtime)}")


def _sound_checkpoints(run: RunDirectory) -> Iterator[tuple[Path, Checkpoint]]:
    """The best checkpoint and the newest; each that is damaged is reported on stderr.

    Raises:
        CheckpointError: there is none.
    """
    found = damaged = 0
    for choices in ([run.best_checkpoint], [run.last_checkpoint, run.previous_checkpoint]):
        for path in filter(Path.exists, choices):
            try:
                checkpoint = load(path)
            except DamagedCheckpointError as error:
                damaged += 1
                print(error, file=sys.stderr)
            else:
                found += 1
                yield path, checkpoint
                break
    if damaged and not found:
        raise CheckpointError(f"{display_path(run.path)}: no intact checkpoint is left.")
    if not found:
        raise no_checkpoint_error(run, option="[train.runtime] out_dir")


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
