"""From a TOML file to an `ExperimentConfig`, or to all of the file's mistakes at once."""

from pathlib import Path

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.messages import key_label
from ml_playground.config.statements import read_statements
from ml_playground.config.sweep import Mistake, mistakes_in_arms
from ml_playground.config.validate import first_stated, following, validate
from ml_playground.errors import ConfigError
from ml_playground.utils.tables import table_at


def load_config(path: Path, *, name: str, folder: Path, check_devices: bool = False) -> ExperimentConfig:
    """Read `path` and what it extends, fill in defaults and check the result, and the arms of its sweep.

    Its `plugins` are in use from then on.

    Args:
        path: the TOML file.
        name: the experiment's name, default of `[prepare] dataset`.
        folder: the experiment's folder; data and runs go by default to the `output_folder` of it.
        check_devices: also report a device that this machine lacks.

    Raises:
        ConfigError: with every mistake of the file.
    """
    statements = read_statements(path, name=name, folder=folder)
    config, problems = validate(statements.defaults, statements.values, check_devices=check_devices)
    mistakes: list[Mistake] = []
    for problem in problems:
        if (key := first_stated(problem, statements.values)) is not None:
            label = key_label(key, table_at(statements.values, key))
            mistakes.append(Mistake(*statements.place(key), f"{label}: {problem.text}"))
    mistakes += mistakes_in_arms(statements, problems, check_devices=check_devices)
    if config is None and not mistakes:
        for key, text in ((each.keys[0], each.text) for each in problems):
            mistakes.append(Mistake(*statements.place(key), f"{key_label(key)}: {following(text)}"))
    if config is None or mistakes:
        raise ConfigError([str(each) for each in sorted(mistakes)])
    return config.read_from(statements.file)
