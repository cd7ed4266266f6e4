"""The verbs of the command line: a file here for each, and a line in `VERBS`.

To add one:

1. Write `commands/<verb>.py` with a function `run`: of an experiment and its configuration where the verb names an
   experiment (`ExperimentVerb`, or `RunVerb` if it is for one run, not for a sweep), otherwise of the verb's own
   `Argument`s (`Verb`).
2. Add a line to `VERBS` with what `--help` says of it.

The parser, shell completion, `make <verb>`, `make help` and the test of the documents come from that table, each of
whose lines begins with the name, the class and the help, so that the Makefile can read it without Python.

A verb's module is imported when it is used, after its arguments and its configuration have been checked, so that help
and mistakes show at once.
"""

import argparse
import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_playground.config.experiment import ExperimentConfig
    from ml_playground.experiments import Experiment


@dataclass(frozen=True)
class Argument:
    """What may follow a verb on the command line.

    Attributes:
        name: as `argparse` takes it, such as "what" or "--port"; `run` gets it under that name.
        settings: what else `add_argument` takes.
        complete: gives what the shell offers for the beginning of one, where that is not among `settings`.
    """

    name: str
    settings: dict[str, Any]
    complete: Callable[[str], Iterable[str]] | None = None

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Have `parser` read it."""
        action = parser.add_argument(self.name, **self.settings)
        if self.complete is not None:
            vars(action)["completer"] = _Completer(self.complete)  # where argcomplete looks for it

    @property
    def key(self) -> str:
        """Its name among what the parser has read."""
        return self.name.lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class _Completer:
    """What argcomplete calls, with more than is of use here."""

    complete: Callable[[str], Iterable[str]]

    def __call__(self, prefix: str, **_: object) -> Iterable[str]:
        """What the shell offers for `prefix`."""
        return self.complete(prefix)


@dataclass(frozen=True)
class Verb:
    """A verb whose module has a function `run`, which takes the verb's arguments by name."""

    help: str
    arguments: tuple[Argument, ...] = ()
    extra: str = "finetune"  # brings the libraries that are not always needed

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Have `parser` read what follows the verb."""
        for argument in self.arguments:
            argument.add_to(parser)

    def run(self, module: str, options: argparse.Namespace) -> None:
        """Do it."""
        from ml_playground.utils.extras import needing

        with needing(self.extra):
            _imported(module).run(**{each.key: getattr(options, each.key) for each in self.arguments})


def _imported(module: str) -> Any:
    """A verb's module.

    It brings hundreds of others, none of which becomes garbage: Python looks for some as they come (a tenth of the time
    that torch takes to import), and would again whenever it looks for garbage later.
    """
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def _experiments(prefix: str) -> Iterable[str]:
    """Names of experiments, and folders that may hold one."""
    from argcomplete.completers import DirectoriesCompleter

    from ml_playground.experiments import all_experiments

    return [*(each.name for each in all_experiments()), *DirectoriesCompleter()(prefix)]


def _toml_files(prefix: str) -> Iterable[str]:
    """TOML files, and the folders on the way to them."""
    from argcomplete.completers import FilesCompleter

    return FilesCompleter(["toml"])(prefix)


_EXPERIMENT = Argument(
    "experiment", {"help": "name of an experiment, as `list` shows them, or path of its folder"}, _experiments
)
_CONFIG = Argument(
    "--exp-config",
    {"type": Path, "metavar": "PATH", "help": "TOML file to use instead of the experiment's config.toml"},
    _toml_files,
)


@dataclass(frozen=True)
class ExperimentVerb(Verb):
    """A verb that names an experiment: its module has `run(experiment, config)`."""

    arguments: tuple[Argument, ...] = (_EXPERIMENT, _CONFIG)
    checks_devices: bool = False

    def run(self, module: str, options: argparse.Namespace) -> None:
        """Do it, once the configuration is found to be sound."""
        from ml_playground.utils.extras import needing

        experiment, config = load_experiment(options.experiment, options.exp_config, check_devices=self.checks_devices)
        self.require(experiment, config)
        with needing(self.extra):
            _imported(module).run(experiment, config)

    def require(self, experiment: "Experiment", config: "ExperimentConfig") -> None:
        """Raise PlaygroundError if the verb is not for this configuration."""


@dataclass(frozen=True)
class RunVerb(ExperimentVerb):
    """A verb that is for one run: it refuses the TOML file of a sweep, and names that of one of its runs."""

    def require(self, experiment: "Experiment", config: "ExperimentConfig") -> None:
        """See `ExperimentVerb`."""
        from ml_playground.commands.one_run import require_one_run

        require_one_run(experiment, config)


def load_experiment(
    experiment: str | Path, config: str | Path | None = None, *, check_devices: bool = False
) -> "tuple[Experiment, ExperimentConfig]":
    """An experiment and its configuration.

    Args:
        experiment: its name, or the path of its folder.
        config: a TOML file to use instead of the experiment's `config.toml`.
        check_devices: also report a device that this machine lacks.

    Raises:
        ConfigError: all mistakes of the file.
        PlaygroundError: there is no such experiment.
    """
    from ml_playground import experiments
    from ml_playground.config.load import load_config
    from ml_playground.utils.hub import load_env_token

    found = experiments.find(str(experiment))
    settings = load_config(
        found.config_path if config is None else _preset(Path(config)),
        name=found.name,
        folder=found.folder,
        check_devices=check_devices,
    )
    load_env_token(settings.file.root / ".env")
    return found, settings


def _preset(path: Path) -> Path:
    """The TOML file at `path`, or the built-in one that it names where it is not there."""
    from ml_playground.utils.paths import in_package

    built_in = in_package(path)
    return path if built_in is None or path.exists() or not built_in.exists() else built_in


_WHAT = Argument(
    "what",
    {
        "nargs": "?",
        "choices": ("experiments", "parts"),
        "default": "experiments",
        "help": "experiments, which is the default, or the parts that a TOML file can name, such as optimizers",
    },
)

_WHOSE = Argument(
    "what",
    {"nargs": "?", "help": "name of an experiment, or a folder, with runs in it or below; all experiments by default"},
    _experiments,
)
_JSON = Argument("--json", {"action": "store_true", "help": "print a JSON object for each run, one in a line"})
_COMPARED = Argument(
    "what",
    {
        "nargs": "+",
        "help": "folders of runs, the folder of a sweep, or an experiment, whose runs are compared with its own",
    },
    _experiments,
)
_SHOWN = Argument(
    "runs",
    {
        "nargs": "*",
        "type": Path,
        "help": "run directories to show side by side, or folders of some, instead of those of the configuration",
    },
)
_BASE = Argument(
    "--base",
    {"metavar": "NAME", "help": "what the others are compared with: a row of the table, or a run of it"},
)

VERBS: dict[str, Verb] = {
    "prepare": ExperimentVerb("make token files from the experiment's text"),
    "train": RunVerb("train, resuming from ckpt_last.pt where there is one", checks_devices=True),
    "sample": RunVerb("generate text with the best checkpoint", checks_devices=True),
    "loop": RunVerb("prepare, train and sample", checks_devices=True),
    "evaluate": ExperimentVerb("measure the best and the last checkpoint on the validation text", checks_devices=True),
    "report": RunVerb("write a page on fit, copying, memory and variety", extra="analysis", checks_devices=True),
    "explore": RunVerb("write a page on what the best checkpoint does at each token", checks_devices=True),
    "estimate": ExperimentVerb("estimate what the training would take, from a few timed steps", checks_devices=True),
    "sweep": ExperimentVerb("train each arm of a sweep with each seed, resuming where it stopped", checks_devices=True),
    "compare": Verb("show what differs between runs, and whether it helped", (_COMPARED, _BASE, _CONFIG), "analysis"),
    "plot": ExperimentVerb("draw the losses of a run, and of others beside it", extra="analysis"),
    "lit": Verb("show runs in the browser with LIT: salience, attention, errors", (_EXPERIMENT, _SHOWN, _CONFIG)),
    "merge": RunVerb("write a fine-tuned model with its adapters merged in, as a folder of its own"),
    "export": RunVerb("write the best model for Hugging Face, llama.cpp and Ollama", extra="export"),
    "describe": ExperimentVerb("show what the experiment does and which files exist"),
    "runs": Verb("list the runs of all experiments, or of one, newest first, with their losses", (_WHOSE, _JSON)),
    "list": Verb("list the experiments, or the parts that a TOML file can name", (_WHAT,)),
}


def run(verb: str, options: argparse.Namespace) -> None:
    """Do what `verb` names, with the `options` that its parser read."""
    VERBS[verb].run(f"{__name__}.{verb}", options)
