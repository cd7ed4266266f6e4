"""Draw the losses of an experiment's run, and of others beside it."""

import sys
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from ml_playground.analysis import plots
from ml_playground.analysis.groups import same_but_for_the_seed
from ml_playground.analysis.plots import Candidate, Curve, Points
from ml_playground.commands.compare.find import of_folders
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sections import PlotConfig
from ml_playground.errors import PlaygroundError
from ml_playground.experiments import Experiment
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.records import RunRecord
from ml_playground.utils.paths import display_path


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Write the pictures into the run's `reports/`, as SVG and PNG, and print where they are.

    Raises:
        PlaygroundError: there is nothing to draw.
    """
    own = RunDirectory(config.train.runtime.out_dir)
    if not own.path.is_dir():
        raise PlaygroundError(f"{display_path(own.path)} is not trained yet. Run `train` first.")
    groups = _grouped([own.path, *config.plot.runs])
    for name, figure in _figures(groups, config.plot):
        for suffix in (".svg", ".png"):
            path = own.reports / f"{name}{suffix}"
            plots.save(figure, path)
            print(display_path(path))


class _Group:
    """Runs that differ in their seed only."""

    def __init__(self, record: RunRecord, name: str) -> None:
        self.record = record
        self.name = name
        self.runs: list[Points] = []

    def candidate(self) -> Candidate:
        """Its mean loss at the last evaluation, and what that costs."""
        count = len(self.runs)
        loss, seconds, flops = (
            sum(each[-1] for each in values) / count
            for values in zip(*((run.losses, run.seconds, run.flops) for run in self.runs), strict=True)
        )
        return Candidate(self.name, loss, seconds, flops, self.record.parameters)


def _grouped(folders: list[Path]) -> list[_Group]:
    """All runs in some folders that were evaluated, the first folder's first. Raises PlaygroundError if there are none.

    A run that was not is printed.
    """
    groups: list[_Group] = []
    found = of_folders(folders, None)
    for path in dict.fromkeys(each.resolve() for each in found.folders):
        run = Run(RunDirectory(path))
        points = Points.of(run.metrics())
        if run.record is None or not points.losses:
            print(f"! {display_path(path)} has no evaluations in metrics.jsonl, and is left out", file=sys.stderr)
            continue
        if groups and _measured_on(run.record) != _measured_on(groups[0].record):
            print(f"! {display_path(path)} was evaluated on other text or tokens, and is left out", file=sys.stderr)
            continue
        group = next((each for each in groups if same_but_for_the_seed(each.record, run.record)), None)
        if group is None:
            groups.append(group := _Group(run.record, found.names.get(path, path.name)))
        group.runs.append(points)
    if not groups:
        raise PlaygroundError("there is nothing to draw: no run was evaluated yet.")
    return groups


def _measured_on(record: RunRecord) -> str:
    """A hash that only the same validation text in the same tokens has."""
    return record.data if record.validation is None else record.validation.token_ids


def _figures(groups: list[_Group], settings: PlotConfig) -> Iterator[tuple[str, Figure]]:
    """The pictures, each with the name of its file."""
    curves = [Curve(each.name, each.runs) for each in groups]
    for x in settings.x:
        yield f"curves_{x}", plots.curves(curves, x, log_x=settings.log_x, log_y=settings.log_y)
        if len(curves) > 1:
            figure = plots.differences(curves[1:], curves[0], x, paired=False, log_x=settings.log_x)
            yield f"differences_{x}", figure
    if len(groups) > 1:
        yield "pareto", plots.pareto([each.candidate() for each in groups])
