"""List runs, the newest first, with what each one changes and how good it is."""

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ml_playground import experiments
from ml_playground.analysis.configs import differences
from ml_playground.analysis.overview import Overview
from ml_playground.config.brief import brief
from ml_playground.config.load import load_config
from ml_playground.errors import ConfigError, PlaygroundError, RunDirectoryError
from ml_playground.experiments import Experiment
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.utils.paths import display_path, real_path
from ml_playground.utils.tables import Change, Table

_HEADS = ("run", "status", "nats", "bits/byte", "parameters", "tokens", "seconds", "last written", "seed", "changes")
_NUMBERS = range(2, 7)  # columns that are aligned to the right


class _Place(NamedTuple):
    """A folder that may have runs in it.

    Attributes:
        folder: where to look.
        names: what their names count from.
        experiment: whose they are, None to find that out.
    """

    folder: Path
    names: Path
    experiment: Experiment | None


def run(what: str | None, *, json: bool) -> None:
    """Print a table of runs.

    Args:
        what: an experiment, or a folder; all experiments if None.
        json: print an object for each run instead, one in a line.

    Raises:
        PlaygroundError: there is no such experiment or folder.
    """
    places = _places(what)
    found = [_overview(each, place) for place in places for each in RunDirectory.all_below(place.folder)]
    found.sort(key=lambda each: each.time, reverse=True)
    if json:
        for each in found:
            print(_as_line(each.as_json()))
        return
    if not found:
        where = "any experiment" if what is None else display_path(places[0].folder)
        print(f"no runs in {where} yet: `train` makes one, and a folder's name lists those that are elsewhere")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in _table(found):
        print(line if width is None or len(line) <= width else f"{line[: width - 1]}…")


def _places(what: str | None) -> list[_Place]:
    if what is None:
        return [_Place(each.output / "out", each.output.parent, each) for each in experiments.all_experiments()]
    try:
        experiment = experiments.find(what)
    except PlaygroundError:
        folder = Path(what)
        if not folder.is_dir():
            raise
        return [_Place(folder, folder, None)]
    out = experiment.output / "out"
    return [_Place(out, out, experiment)]


def _overview(directory: RunDirectory, place: _Place) -> Overview:
    opened, name = Run(directory), _name(directory.path, place)
    try:
        return Overview.of(opened, name, _changes(opened, place.experiment or _experiment_of(directory.path)))
    except RunDirectoryError as error:
        return Overview(name, str(directory.path), "damaged", problem=str(error))
    except OSError as error:
        problem = f"{display_path(directory.path)}: {error.strerror}"
        return Overview(name, str(directory.path), "damaged", problem=problem)


def _name(path: Path, place: _Place) -> str:
    name = path.relative_to(place.names)
    parts = [part for number, part in enumerate(name.parts) if (number, part) != (1, "out")]
    return "/".join(parts if place.names != place.folder else name.parts) or display_path(path)


@cache
def _experiment_of(path: Path) -> Experiment | None:
    """The experiment in whose folder a run is, None if it is elsewhere."""
    parents = real_path(path).parents
    return next((Experiment.at(each) for each in parents if (each / "config.toml").is_file()), None)


def _changes(opened: Run, experiment: Experiment | None) -> list[Change] | None:
    """What a run changes in the configuration of an experiment, None where either is unknown."""
    own, record = None if experiment is None else _own(experiment), opened.record
    if own is None or record is None:
        return None
    return brief(differences(own, record.config), record.config)


@cache
def _own(experiment: Experiment) -> Table | None:
    """The resolved configuration of an experiment's own TOML file, None if it has mistakes."""
    try:
        return load_config(experiment.config_path, name=experiment.name, folder=experiment.folder).resolved()
    except ConfigError as error:
        print(f"! what runs change is not shown: {error}", file=sys.stderr)
        return None


def _table(rows: list[Overview]) -> Iterator[str]:
    """The lines of a table with a head. What is wrong with a run takes the place of its numbers."""
    cells = [_HEADS, *(_cells(each) for each in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS))]
    for row, overview in zip(cells, [None, *rows], strict=True):
        if overview is not None and overview.problem is not None:
            yield f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {overview.problem}"
            continue
        aligned = (
            f"{cell:>{width}}" if column in _NUMBERS else f"{cell:{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(aligned).rstrip()
    if any(each.loss is not None and not each.is_at_end for each in rows):
        yield "* not finished: the best loss so far"


def _cells(run: Overview) -> tuple[str, ...]:
    mark = " " if run.is_at_end else "*"
    early = " early" if run.is_at_end and run.step < run.max_iters else ""
    return (
        run.name.encode(errors="backslashreplace").decode(),
        f"{run.status}{early}",
        "" if run.loss is None else f"{run.loss:.4f}{mark}",
        "" if run.bits_per_byte is None else f"{run.bits_per_byte:.4f}{mark}",
        "" if run.parameters is None else f"{run.parameters:,}",
        f"{run.tokens:,}",
        f"{run.seconds:,.1f}",
        _local(run.time),
        "" if run.seed is None else str(run.seed),
        "?" if run.changes is None else ", ".join(map(_change, run.changes)),
    )


def _local(time: str) -> str:
    """A time in UTC as the clock here had it, to the minute."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return time


def _change(change: Change) -> str:
    """A change such as `optim.learning_rate = 0.003` or `optim = muon`."""
    table, _, name = change.key.rpartition(" ")
    key = f"{table.strip('[]').removeprefix('train.')}.{name}".strip(".").removesuffix(".kind")
    if change.now is None:
        return f"no {key}"
    return f"{key} = {change.now if isinstance(change.now, str) else _as_line(change.now)}"


def _as_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
