"""Experiments: folders that hold `prepare.py`, `config.toml` and `Readme.md`, found by name or by path.

A new one is a new folder; nothing else has to know of it. See `Readme.md` beside this file. An installed package brings
one by an entry point in the group `ml_playground.plugins`, such as `experiments.poems = "my_package.poems"`, where the
value is the package whose folder it is.
"""

import difflib
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from ml_playground.config.files import read_toml_files
from ml_playground.config.sections import PrepareConfig
from ml_playground.errors import ConfigError, PlaygroundError
from ml_playground.utils.modules import import_file
from ml_playground.utils.paths import display_path, output_folder, real_path
from ml_playground.utils.registry import EXPERIMENTS, described, package_of, plugins, why_missing

Preparer = Callable[[PrepareConfig], object]

PREPARERS: dict[str, Preparer] = {}
"""What `@register` has collected from the `prepare.py` files that were loaded."""

_HOME = Path(__file__).parent


@dataclass(frozen=True)
class Experiment:
    """A folder with a name.

    Attributes:
        folder: where its files are.
        name: what the command line calls it.
        package: the installed package that brings it, with its version; None for all others.
    """

    folder: Path
    name: str
    package: str | None = None

    @classmethod
    def at(cls, folder: Path) -> "Experiment":
        """The experiment in a folder, whose name it has."""
        return cls(folder, folder.name)

    @property
    def output(self) -> Path:
        """Where its data and runs go by default."""
        return output_folder(self.folder)

    @property
    def config_path(self) -> Path:
        """The configuration that is used unless another is given."""
        return self.folder / "config.toml"

    def summary(self) -> str:
        """The first paragraph below the title of its `Readme.md`."""
        readme = self.folder / "Readme.md"
        text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        paragraphs = [block.strip() for block in text.split("\n\n")]
        return next((" ".join(block.split()) for block in paragraphs if block and not block.startswith("#")), "")


def register(name: str) -> Callable[[Preparer], Preparer]:
    """Declare a function that prepares data: it receives the `[prepare]` section and writes to its `dataset_dir`."""

    def keep(preparer: Preparer) -> Preparer:
        PREPARERS[name] = preparer
        return preparer

    return keep


def all_experiments() -> list[Experiment]:
    """The experiments in this folder, then those that installed packages bring, each by name.

    Raises:
        PlaygroundError: an installed package names something else.
    """
    own = [Experiment.at(path.parent) for path in sorted(_HOME.glob("*/config.toml"))]
    taken = {experiment.name for experiment in own}
    return own + [_brought_by(name, point) for name, point in sorted(plugins(EXPERIMENTS).items()) if name not in taken]


def find(name: str) -> Experiment:
    """The built-in experiment of that name, or a package's, else the one in the folder that `name` is the path of.

    Raises:
        PlaygroundError: there is none.
    """
    if Path(name).name == name:  # "./phrases" is a path
        if (_HOME / name / "config.toml").is_file():
            return Experiment.at(real_path(_HOME / name))
        if name in plugins(EXPERIMENTS):
            return _brought_by(name, plugins(EXPERIMENTS)[name])
    if (Path(name) / "config.toml").is_file():
        return Experiment.at(real_path(Path(name)))  # whose name is not ".."
    if name.endswith(".toml") or Path(name).is_file():
        raise PlaygroundError(_name_its_experiment(Path(name)))
    if Path(name).is_dir():
        raise PlaygroundError(f"{name}: no config.toml in this folder (a preset is passed with --exp-config)")
    if Path(name).name != name:
        raise PlaygroundError(f"{name}: no such folder (`list` shows the experiments)")
    known = [experiment.name for experiment in all_experiments()]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    raise PlaygroundError(f"no experiment {name!r} ({hint}){why_missing(name)}")


def _brought_by(name: str, point: EntryPoint) -> Experiment:
    """The experiment that an installed package brings.

    Raises:
        PlaygroundError: what it names is not a package with a `config.toml`.
    """
    try:
        found = find_spec(point.value)
    except ImportError:
        found = None
    for folder in (found and found.submodule_search_locations) or ():
        if (Path(folder) / "config.toml").is_file():
            return Experiment(real_path(Path(folder)), name, package_of(point))
    raise PlaygroundError(f"{described(point)} is not a package with a config.toml in its folder")


def _name_its_experiment(preset: Path) -> str:
    """The message for a command that names a TOML file where an experiment is asked for."""
    if not preset.is_file():
        return f"{preset}: no such file. A command names an experiment, and a TOML file after it: --exp-config <file>"
    experiment = "<experiment>"
    with suppress(ConfigError):
        for toml in read_toml_files(preset):
            home = toml.path.parent
            if (home / "config.toml").is_file() and (home / "prepare.py").is_file():
                experiment = home.name if home.parent == real_path(_HOME) else shlex.quote(display_path(home))
    is_its_own = preset.name == "config.toml" and experiment != "<experiment>"
    file = "" if is_its_own else f" --exp-config {shlex.quote(str(preset))}"
    return f"{preset} is a file, not an experiment. Name the experiment first: {experiment}{file}"


def prepare(experiment: Experiment, config: PrepareConfig) -> None:
    """Make the data that `config` describes.

    Raises:
        PlaygroundError: no preparer is registered under `[prepare] dataset`.
        DataError: the preparer found no usable text.
    """
    from ml_playground.data.manifest import manifest_path  # which takes numpy and tokenizers

    _preparer(experiment, config.dataset)(config)
    if not manifest_path(config.dataset_dir).exists():
        raise PlaygroundError(
            f"{experiment.folder / 'prepare.py'} made no data in {config.dataset_dir}. "
            "It must call `prepare_texts`, or write what that writes."
        )


def _preparer(experiment: Experiment, dataset: str) -> Preparer:
    """The experiment's own preparer, or another experiment's if `dataset` names one."""
    own = _load_preparers(experiment)
    if dataset in own:
        return own[dataset]
    if (
        dataset == experiment.name and len(set(own.values())) == 1
    ):  # a copied folder, whose prepare.py has the name of the original
        return next(iter(own.values()))
    for other in all_experiments():
        found = _load_preparers(other)
        if dataset in found:
            return found[dataset]
    raise PlaygroundError(
        f"[prepare] dataset = {dataset!r}: no prepare.py registers that name (there are {', '.join(sorted(PREPARERS))})"
    )


def _load_preparers(experiment: Experiment) -> dict[str, Preparer]:
    """Run the experiment's `prepare.py` and return what it registered."""
    path = experiment.folder / "prepare.py"
    if not path.is_file():
        return {}
    before = dict(PREPARERS)
    import_file(path)
    return {name: preparer for name, preparer in PREPARERS.items() if preparer is not before.get(name)}
