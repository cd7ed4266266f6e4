"""Prepare, train, sample."""

from ml_playground.commands import prepare
from ml_playground.commands.sample import sample
from ml_playground.commands.train import train
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import open_dataset
from ml_playground.experiments import Experiment
from ml_playground.inference.prompt import encode_prompt, read_prompt


def run(experiment: Experiment, config: ExperimentConfig) -> None:
    """From text to samples. A prompt that cannot be used is reported before the training."""
    prepare.run(experiment, config)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    encode_prompt(read_prompt(config.sample.sample.start), dataset.tokenizer)
    train(config, dataset)
    sample(config)
