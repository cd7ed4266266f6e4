"""List the experiments."""

from ml_playground import experiments


def run() -> None:
    """Print each experiment's name and what it is about."""
    found = experiments.all_experiments()
    width = max(len(experiment.name) for experiment in found)
    for experiment in found:
        print(f"{experiment.name:{width}}  {experiment.summary()}")
