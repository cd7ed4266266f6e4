"""The run directories of a sweep: what is there already, and what has to be done again."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.load import load_config
from ml_playground.config.paths import relative_paths
from ml_playground.errors import ConfigError, RunDirectoryError
from ml_playground.experiments import Experiment
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.progress import Progress
from ml_playground.run.records import RunRecord, Summary, utc_now
from ml_playground.run.surroundings import CODE, versions_of
from ml_playground.utils.files import atomic_write, storage_errors, unused_name
from ml_playground.utils.paths import project_root
from ml_playground.utils.registry import use
from ml_playground.utils.tables import Table, changes, toml_lines

_CONFIG = "config.toml"
_LOG = "train.log"


class RunFolder:
    """The directory of one of a sweep's runs, with its TOML file and its log."""

    def __init__(self, path: Path, experiment: Experiment) -> None:
        self.run = RunDirectory(path)
        self.config = path / _CONFIG
        self.log = path / _LOG
        self._experiment = experiment

    @property
    def summary(self) -> Summary | None:
        """How far it is, None if that is not recorded."""
        with suppress(RunDirectoryError):
            return Summary.read(self.run.summary)
        return None

    def changes(self, config: ExperimentConfig, data: str, *, any_threads: bool) -> tuple[str, ...]:
        """Why what is there, if anything is, belongs to another configuration or to other data.

        Args:
            config: what is to be trained.
            data: the fingerprint of its data.
            any_threads: the number of threads is the sweep's choice: a run that was begun keeps its own.
        """
        if not self.run.path.exists() or not any(self.run.path.iterdir()):
            return ()
        return tuple(self._changes(config, data, any_threads=any_threads))

    def _changes(self, config: ExperimentConfig, data: str, *, any_threads: bool) -> Iterator[str]:
        try:
            before = load_config(self.config, name=self._experiment.name, folder=self._experiment.folder)
        except ConfigError:
            yield f"{_CONFIG} is missing, or cannot be read"
            return
        old, new = (relative_paths(each.model_dump(exclude={"sweep"}), config.file.root) for each in (before, config))
        for change in changes(old["train"], new["train"], "train"):
            if not any_threads or change.key != "[train.runtime] threads":
                yield f"{change.key} was {change.before}, is {change.now}"
        for name in ("plugins", "prepare"):
            for change in changes({name: old[name]}, {name: new[name]}, ""):
                yield f"{change.key.replace('[.', '[').removeprefix('[] ')} was {change.before}, is {change.now}"
        try:
            record = Run(self.run).record
        except RunDirectoryError:
            yield f"{self.run.info.name} is damaged, or was written by another version"
            return
        if record is not None:
            yield from _other_code(record, config, data)
        elif self.summary is not None and self.summary.status == "finished":
            yield f"{self.run.info.name} is missing"

    def set_aside(self, folder: Path, name: str) -> Path:
        """Move it to `folder`, under `name` or one like it; where it is then."""
        aside = folder / name
        aside = unused_name(aside) if aside.exists() else aside
        with storage_errors(aside):
            folder.mkdir(parents=True, exist_ok=True)
            self.run.path.rename(aside)
        return aside

    def write_config(self, config: ExperimentConfig) -> None:
        """Write the TOML file, from which the run can be trained, sampled and compared by hand."""
        with atomic_write(self.config) as file:
            file.write(toml_text(config, self.config))

    def mark_failed(self, max_iters: int) -> None:
        """Have `summary.json` say that it has failed, where it does not say how it ended."""
        summary = self.summary
        if summary is None or summary.status == "running":
            progress = Progress() if summary is None else summary.progress
            Summary("failed", utc_now(), max_iters, progress).write(self.run.summary)


def _other_code(record: RunRecord, config: ExperimentConfig, data: str) -> Iterator[str]:
    """What a run was trained on and by that is not in its configuration, and has changed since."""
    if record.data != data:
        yield "it was trained on other data than is prepared now"
    spec = spec_of(config.train, config.file.root)
    if spec.from_scratch and record.model_identity != spec.identity():
        yield "the model's file has changed"
    use(config.plugins)
    for name, version in versions_of(config.resolved()["train"]).items():
        if name.startswith(CODE) and record.versions.get(name) != version:
            yield f"the {name} has changed"


def toml_text(config: ExperimentConfig, path: Path) -> bytes:
    """A configuration as a TOML file at `path`, complete in itself."""
    values: Table = relative_paths(config.model_dump(exclude={"sweep"}), project_root(path))
    idle = spec_of(config.train, config.file.root).idle_sections
    train = {name: table for name, table in values["train"].items() if name not in idle}
    head = "# A run of a sweep, complete in itself: train, sample and others take this file with --exp-config."
    return "\n".join([head, "extends = false", *toml_lines({**values, "train": train})]).encode(
        errors="surrogateescape"
    )
