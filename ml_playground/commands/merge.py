"""Write a fine-tuned model as a folder that needs no adapters."""

from ml_playground.commands.build import merge_best
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import open_dataset
from ml_playground.errors import CheckpointError
from ml_playground.experiments import Experiment
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import (
    memory_errors_explained,
)
from ml_playground.training.resume import report_other_file


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Merge the run."""
    merge(config)


@memory_errors_explained()
def merge(config: ExperimentConfig) -> None:
    """Write the best fine-tuned model of the run as a folder that needs no adapters: `merged/`."""
    run = RunDirectory(config.sample.runtime.out_dir)
    if config.train.hf_model.model_name is None:
        raise CheckpointError("[train.hf_model] model_name is not stated: there is nothing to merge. See 'export'.")
    report_other_file(run, config.train.runtime.out_dir, config.file)
    merge_best(config, open_dataset(config.train.data.dataset_dir, config.prepare), run)
