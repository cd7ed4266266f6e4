"""Write a fine-tuned model as a folder that needs no adapters."""

import sys

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset, open_dataset, tokenizer_folder
from ml_playground.errors import CheckpointError, PlaygroundError
from ml_playground.experiments import Experiment
from ml_playground.inference.load import best_weights_hash, load_trained, weights_hash
from ml_playground.models.spec import spec_of
from ml_playground.run.checkpoint import Checkpoint
from ml_playground.run.directory import RunDirectory
from ml_playground.run.finetuned import MergeInfo, MergeSource
from ml_playground.run.store import Artifact, Which
from ml_playground.run.toml_file import other_file_warning
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.paths import display_path


@memory_errors_explained()
def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Write the best fine-tuned model of the run as a folder that needs no adapters: `merged/`."""
    run = RunDirectory(config.sample.runtime.out_dir)
    spec_of(config.train, config.file.root).require_merging()
    if (warning := other_file_warning(run, config.train.runtime.out_dir, config.file)) is not None:
        print(f"! {warning}", file=sys.stderr)
    merge_best(config, open_dataset(config.train.data.dataset_dir, config.prepare), run)


def merge_best(config: ExperimentConfig, dataset: Dataset, run: RunDirectory) -> None:
    """Write the best model of a run, and print how closely what was written agrees with it.

    Raises:
        CheckpointError: there is none, or it is not of this data.
        ExportError: what was written computes something else.
    """
    from ml_playground.finetune.merge import merge  # which takes seconds to import

    trained = load_trained(run, spec_of(config.train, config.file.root), base_dtype="float32")
    for warning in trained.warnings:
        print(warning, file=sys.stderr)
    if not trained.spec.merges:
        raise CheckpointError(f"{trained.path} is not a fine-tuned model: there is nothing to merge. See 'export'.")
    if trained.data != dataset.manifest.fingerprint:
        raise CheckpointError(
            f"{trained.path} was trained on different data than is prepared now, so that it cannot be checked. "
            "Prepare the old data again."
        )
    with run.lock("merge"):
        comparison, warnings = merge(
            trained.model,
            run.merged,
            val=dataset.val,
            tokenizer=dataset.tokenizer,
            tokenizer_folder=tokenizer_folder(config.train.data.dataset_dir),
            source=MergeSource(trained.path.name, trained.step, trained.val_loss, weights_hash(trained.path)),
        )
    for warning in warnings:
        print(f"! {warning}")
    print(
        f"{display_path(run.merged)}: {trained.path.name} ({trained.progress_line}) merged; logits within "
        f"{comparison.largest_difference:.1e} of what they were, of which the largest is "
        f"{comparison.largest_logit:.1f}"
    )


class MergedModel(Artifact):
    """`merged/`, made again whenever there is a new best model (`[train.runtime] save_merged_on_best`)."""

    def __init__(self, config: ExperimentConfig, dataset: Dataset, run: RunDirectory) -> None:
        self._config = config
        self._dataset = dataset
        self._run = run

    def write(self, which: Which, checkpoint: Checkpoint) -> None:
        """See `Artifact`: it is made of what is on disk."""

    def best_is_saved(self) -> None:
        """See `Artifact`. A failure here must not stop the training."""
        merged = MergeInfo.read(self._run)
        if merged is not None and merged.source.weights == best_weights_hash(
            self._run, spec_of(self._config.train, self._config.file.root)
        ):
            return
        try:
            with memory_errors_explained():
                merge_best(self._config, self._dataset, self._run)
        except PlaygroundError as error:
            print(f"! not merged: {error}")
