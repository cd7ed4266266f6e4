"""Experiments: folders that hold `prepare.py`, `config.toml` and `Readme.md`, found by name or by path.

A new one is a new folder; nothing else has to know of it. See `Readme.md` beside this file.
"""

import difflib
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ml_playground.config.files import read_layers
from ml_playground.config.sections import PrepareConfig
from ml_playground.data.manifest import manifest_path
from ml_playground.errors import ConfigError, PlaygroundError
from ml_playground.utils.modules import import_file
from ml_playground.utils.paths import real_path, shown

Preparer = Callable[[PrepareConfig], object]

PREPARERS: dict[str, Preparer] = {}
"""What `@register` has collected from the `prepare.py` files that were loaded."""

_HOME = Path(__file__).parent


@dataclass(frozen=True)
class Experiment:
    """A folder with a name."""

    folder: Path

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return self.folder.name

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
    """The experiments in this folder, by name."""
    return [Experiment(path.parent) for path in sorted(_HOME.glob("*/config.toml"))]


def find(name: str) -> Experiment:
    """The experiment of that name in this folder, or in the folder that `name` is the path of.

    Raises:
        PlaygroundError: there is none.
    """
    by_name = [_HOME / name] if Path(name).name == name else []  # "./phrases" is a path
    for folder in (*by_name, Path(name)):
        if (folder / "config.toml").is_file():
            return Experiment(real_path(folder))  # whose name is not ".."
    if name.endswith(".toml") or Path(name).is_file():
        raise PlaygroundError(_name_its_experiment(Path(name)))
    if Path(name).is_dir():
        raise PlaygroundError(f"{name}: no config.toml in this folder (a preset is given by --exp-config)")
    known = [experiment.name for experiment in all_experiments()]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    raise PlaygroundError(f"no experiment {name!r} ({hint})")


def _name_its_experiment(preset: Path) -> str:
    """The message for a command that names a TOML file where an experiment is asked for."""
    if not preset.is_file():
        return f"{preset}: no such file. A command names an experiment, and a TOML file after it: --exp-config <file>"
    experiment = "<experiment>"
    with suppress(ConfigError):
        for layer in read_layers(preset):
            home = layer.path.parent
            if (home / "config.toml").is_file() and (home / "prepare.py").is_file():
                experiment = home.name if home.parent == real_path(_HOME) else shlex.quote(str(shown(home)))
    is_its_own = preset.name == "config.toml" and experiment != "<experiment>"
    file = "" if is_its_own else f" --exp-config {shlex.quote(str(preset))}"
    return f"{preset} is a file, not an experiment. Name the experiment first: {experiment}{file}"


def prepare(experiment: Experiment, config: PrepareConfig) -> None:
    """Make the data that `config` describes.

    Raises:
        PlaygroundError: no preparer is registered under `[prepare] dataset`.
        DataError: the preparer found no usable text.
    """
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
