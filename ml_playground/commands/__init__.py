"""The verbs of the command line: a file here for each, and a line in `VERBS`.

A verb's module is imported when it is used, after its arguments and its configuration have been checked, so that help
and mistakes show at once.
"""

import argparse
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ml_playground import experiments
from ml_playground.config.load import load_config
from ml_playground.utils.hub import use_token_of


@dataclass(frozen=True)
class Verb:
    """A verb without an experiment: its module has `run()`."""

    help: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what follows the verb on the command line to its `parser`."""

    def run(self, module: str, options: argparse.Namespace) -> None:  # noqa: ARG002 -- of other verbs
        """Do it."""
        import_module(module).run()


@dataclass(frozen=True)
class ExperimentVerb(Verb):
    """A verb that names an experiment: its module has `run(experiment, config)`."""

    checks_devices: bool = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the experiment and its TOML file."""
        parser.add_argument("experiment", help="name of an experiment, as `list` shows them, or path of its folder")
        parser.add_argument(
            "--exp-config", type=Path, metavar="PATH", help="TOML file to use instead of the experiment's config.toml"
        )

    def run(self, module: str, options: argparse.Namespace) -> None:
        """Do it, once the configuration is found to be sound."""
        experiment = experiments.find(options.experiment)
        config = load_config(
            options.exp_config or experiment.config_path,
            name=experiment.name,
            folder=experiment.folder,
            check_devices=self.checks_devices,
        )
        use_token_of(config.file.root / ".env")
        import_module(module).run(experiment, config)


VERBS: dict[str, Verb] = {
    "prepare": ExperimentVerb("make token files from the experiment's text"),
    "train": ExperimentVerb("train, resuming from ckpt_last.pt where there is one", checks_devices=True),
    "sample": ExperimentVerb("generate text with the best checkpoint", checks_devices=True),
    "loop": ExperimentVerb("prepare, train and sample", checks_devices=True),
    "merge": ExperimentVerb("write a fine-tuned model with its adapters merged in, as a folder of its own"),
    "export": ExperimentVerb("write the best model for Hugging Face, llama.cpp and Ollama"),
    "evaluate": ExperimentVerb("measure the best and the last checkpoint on the validation text", checks_devices=True),
    "estimate": ExperimentVerb("estimate what the training would take, from a few timed steps", checks_devices=True),
    "describe": ExperimentVerb("show what the experiment does and which files exist"),
    "list": Verb("list the experiments"),
}


def run(verb: str, options: argparse.Namespace) -> None:
    """Do what `verb` names, with the `options` that its parser read."""
    VERBS[verb].run(f"{__name__}.{verb}", options)
