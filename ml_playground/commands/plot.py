"""Draw the losses of an experiment's run, finished or not, and of others beside it."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ml_playground.analysis import plots
from ml_playground.analysis.groups import Group, grouped
from ml_playground.analysis.members import Member, read_members
from ml_playground.analysis.pictures import fronts, metric, over_training, same_windows
from ml_playground.analysis.plots import Candidate, Curve, Points
from ml_playground.analysis.remarks import incomparable
from ml_playground.analysis.results import Unit
from ml_playground.commands.find_runs import of_folders
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sections import PlotConfig
from ml_playground.errors import PlaygroundError
from ml_playground.experiments import Experiment
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sweep import SWEEP_FILE
from ml_playground.utils.paths import display_path

_FAILED = ("diverged", "failed")
_OTHER_WINDOWS = (
    "it was evaluated in windows of another length than {base}, and predictions with more text before them are better "
    "for that alone"
)


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Write the pictures into the run's `reports/`, as SVG and PNG, and print where they are.

    Raises:
        PlaygroundError: there is nothing to draw.
    """
    own = RunDirectory(config.train.runtime.out_dir)
    if not own.info.is_file() and not (own.path / SWEEP_FILE).is_file():
        verb = "sweep" if config.sweep.seeds else "train"
        raise PlaygroundError(f"{display_path(own.path)} is not trained yet. Run '{verb}' first.")
    groups = _on_one_scale(_grouped([own.path, *config.plot.runs]))
    for name, figure in _figures(groups, config.plot):
        for suffix in (".svg", ".png"):
            path = own.reports / f"{name}{suffix}"
            plots.save(figure, path)
            print(display_path(path))


def _grouped(folders: Sequence[Path]) -> list[Group]:
    """The runs in some folders, in groups; the first run's, or that of a sweep's base, is the first.

    Raises PlaygroundError if no run was evaluated yet. What is left out is printed.
    """
    found = of_folders(folders, None)
    members, left_out = read_members(found.folders, unfinished=True)
    left_out += found.left_out
    reasons = "".join(f"\n  {each.name}: {each.reason}" for each in left_out)
    if not members:
        raise PlaygroundError(f"there is nothing to draw: no run was evaluated yet.{reasons}")
    of_base = {path.resolve() for path in found.of_base}
    first = [each for each in members if each.run.directory.path in of_base]
    if not first:
        base = found.names.get(found.of_base[0].resolve(), display_path(found.of_base[0]))
        raise PlaygroundError(f"{base} cannot be drawn, and the other runs are compared with it.{reasons}")
    _warn(f"{each.name}: {each.reason}" for each in left_out)
    names = found.names or {path: path.name for path in of_base}
    others = [each for each in members if each not in first]
    groups, remarks = grouped([*first, *others], names=names)
    _warn(remarks)
    return groups


def _on_one_scale(groups: Sequence[Group]) -> list[Group]:
    """Those that were evaluated on the same text as the first. Others are printed."""
    base, *others = groups
    kept = [base]
    for group in others:
        reason = incomparable(_with_unfinished(group), _with_unfinished(base), "end")
        if reason is not None:
            _warn([f"{group.name} is left out: {reason}"])
            continue
        kept.append(group)
        if not same_windows(group, base):
            _warn([f"{group.name} is not among the differences: {_OTHER_WINDOWS.format(base=base.name)}"])
    return kept


def _with_unfinished(group: Group) -> Group:
    return group if group.members else replace(group, members=group.failed)


def _figures(groups: Sequence[Group], settings: PlotConfig) -> Iterator[tuple[str, Figure]]:
    """The pictures, each with the name of its file."""
    tokens = {each.measured.token_ids for group in groups for each in _all(group) if each.measured}
    unit: Unit = "nats/token" if len(tokens) == 1 else "bits/byte"
    finished = [group for group in groups if group.members]
    for group in finished:
        if lacking := ", ".join(each.name for each in group.members if not each.curve):
            _warn([f"metrics.jsonl of {lacking} is incomplete: {group.name} is not among the curves"])
    lines = list(_unfinished(groups, unit))
    drawn = 0
    for x in settings.x:
        shown = over_training(groups, x, unit, unfinished=lines, log_x=settings.log_x, log_y=settings.log_y)
        for picture in shown:
            drawn += 1
            yield f"{picture.name}_{x}", picture.figure
    if not drawn:
        raise PlaygroundError("there is nothing to draw: no metrics.jsonl has all evaluations of its run.")
    for picture in fronts([_candidate(group, unit) for group in finished], unit):
        yield picture.name, picture.figure


def _unfinished(groups: Sequence[Group], unit: Unit) -> Iterator[Curve]:
    """Runs that are running or were stopped, and the first one even if it failed, each by itself."""
    for group in groups:
        for number, each in enumerate(group.failed):
            if each.status in _FAILED and (group is not groups[0] or group.members or number):
                _warn([f"{each.name} {each.status}, and is left out"])
                continue
            seed = f" seed {each.seed}" if len(_all(group)) > 1 else ""
            points = Points.of(each.run.evaluations(), metric(unit))
            yield Curve(f"{group.name}{seed} ({each.status})", [points])


def _all(group: Group) -> tuple[Member, ...]:
    return (*group.members, *group.failed)


def _candidate(group: Group, unit: Unit) -> Candidate:
    """A group's mean loss at its end, and what that costs."""
    losses = [each.loss if unit == "nats/token" else each.bits_per_byte for each in group.measured]
    seconds, flops = (
        float(np.mean([getattr(each.progress, name) for each in group.members])) for name in ("seconds", "flops")
    )
    return Candidate(group.name, float(np.mean(losses)), seconds, flops, group.any.record.parameters)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"! {line}", file=sys.stderr)
