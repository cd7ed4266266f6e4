"""Make token files from an experiment's text."""

from ml_playground import experiments
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.experiments import Experiment


def run(experiment: Experiment, config: ExperimentConfig) -> None:
    """Write what `[prepare]` describes, unless exactly that is there already."""
    experiments.prepare(experiment, config.prepare)
