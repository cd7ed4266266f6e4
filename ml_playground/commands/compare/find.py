"""Which runs a comparison is of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_playground.analysis.members import LeftOut
from ml_playground.commands import load_experiment
from ml_playground.config.experiment import SampleConfig
from ml_playground.config.sections import CompareConfig
from ml_playground.errors import PlaygroundError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sweep import SWEEP_FILE, SweepRecord
from ml_playground.utils.paths import display_path


@dataclass(frozen=True)
class Found:
    """What to compare.

    Attributes:
        folders: run directories.
        base: the name of the base's group, or one of its runs; the first run's if None.
        names: what the groups of runs in these folders are called.
        output: where the results go; None for beside the base.
        settings: `[compare]`.
        sampling: `[sample]`; None where no TOML file is named.
        left_out: what is known to be missing.
        notes: remarks.
    """

    folders: list[Path]
    base: str | Path | None
    names: dict[Path, str] = field(default_factory=dict[Path, str])
    output: Path | None = None
    settings: CompareConfig = field(default_factory=lambda: CompareConfig.model_validate({}))
    sampling: SampleConfig | None = None
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    notes: list[str] = field(default_factory=list[str])


def find(what: Sequence[str], base: str | None, exp_config: Path | None) -> Found:
    """The runs that a command line names.

    Args:
        what: folders, or one experiment.
        base: what the others are compared with.
        exp_config: a TOML file of the experiment.

    Raises:
        PlaygroundError: one is neither, or there are no runs.
    """
    folders = [Path(each) for each in what]
    if exp_config is None and any(map(_holds_runs, folders)):
        return of_folders(folders, base)
    if len(what) > 1:
        raise PlaygroundError(f"no runs in {', '.join(what)}. Name folders of runs, a sweep's folder or one experiment")
    experiment, config = load_experiment(what[0], exp_config)
    settings, output = config.compare, experiment.output / "reports" / "compare"
    out_dir = config.train.runtime.out_dir
    if settings.runs:
        found = of_folders(settings.runs, base)
        return Found(
            found.folders, found.base, found.names, output, settings, config.sample, found.left_out, found.notes
        )
    if (out_dir / SWEEP_FILE).is_file():
        found = _of_sweep(out_dir, base)
        return Found(
            found.folders, found.base, found.names, out_dir, settings, config.sample, found.left_out, found.notes
        )
    if config.sweep.seeds:
        raise PlaygroundError(f"{display_path(config.file.path)}: its sweep has not begun. Run 'sweep' with it first.")
    runs = dict.fromkeys([out_dir.parent, experiment.output / "out"])
    folders = [run.path for folder in runs for run in RunDirectory.all_in(folder)]
    if base is None and out_dir not in folders:
        others = ", ".join(display_path(each) for each in folders)
        hint = f" Or choose one of its other runs with --base: {others}" if folders else ""
        raise PlaygroundError(
            f"{display_path(out_dir)} is not trained yet, and the others are compared with it. Run 'train' first.{hint}"
        )
    return Found(folders, base or out_dir, output=output, settings=settings, sampling=config.sample)


def _holds_runs(folder: Path) -> bool:
    """Whether a folder is a run, a sweep, or has runs in it."""
    return any((folder / name).is_file() for name in (RunDirectory(folder).info.name, SWEEP_FILE)) or bool(
        RunDirectory.all_in(folder)
    )


def of_folders(folders: Iterable[Path], base: str | None) -> Found:
    """The runs in some folders. Raises PlaygroundError if one has none."""
    runs: list[Path] = []
    sweeps: list[Found] = []
    for folder in folders:
        if (folder / SWEEP_FILE).is_file():
            sweeps.append(_of_sweep(folder, base))
            runs += sweeps[-1].folders
        elif RunDirectory(folder).info.is_file():
            runs.append(folder)
        elif inside := [run.path for run in RunDirectory.all_in(folder)]:
            runs += inside
        else:
            raise PlaygroundError(
                f"{display_path(folder)}: {'no runs in this' if folder.is_dir() else 'no such'} folder"
            )
    if len(sweeps) == 1 and runs == sweeps[0].folders:
        return sweeps[0]
    return Found(
        runs,
        base,
        left_out=[each for sweep in sweeps for each in sweep.left_out],
        notes=[each for sweep in sweeps for each in sweep.notes],
    )


def _of_sweep(folder: Path, base: str | None) -> Found:
    """The runs of a sweep at its longest horizon, by the names of their arms."""
    record = SweepRecord.read(folder)
    assert record is not None  # its file is there
    longest, *shorter = sorted(record.horizons, reverse=True)
    planned = [run for run in record.runs if run.horizon == longest]
    begun = [run for run in planned if RunDirectory(folder / run.folder).info.is_file()]
    left_out = [
        LeftOut(each.arm, f"dropped by halving after a horizon of {each.horizon:g}, at {_loss(each.loss)}")
        for each in record.dropped
    ]
    missing = len(planned) - len(begun)
    if missing:
        left_out.append(LeftOut(f"{missing} of {len(planned)} runs", "have not begun: 'sweep' resumes there"))
    if not begun:
        raise PlaygroundError(f"{display_path(folder)}: no run of this sweep has begun. Run 'sweep' first.")
    notes: list[str] = []
    if shorter:
        others = ", ".join(f"{each:g}" for each in shorter)
        notes = [f"all runs are of the horizon {longest:g}; those of {others} are not shown"]
    return Found(
        [folder / run.folder for run in begun],
        base or record.arms[0].name,
        {(folder / run.folder).resolve(): run.arm for run in begun},
        folder,
        left_out=left_out,
        notes=notes,
    )


def _loss(loss: float | None) -> str:
    return "no loss" if loss is None else f"{loss:.4f} bits/byte"
