"""Which runs a comparison is of."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ml_playground import experiments
from ml_playground.analysis.members import LeftOut
from ml_playground.commands import load_experiment
from ml_playground.commands.outdated import outdated
from ml_playground.config.experiment import SampleConfig
from ml_playground.config.sections import CompareConfig
from ml_playground.config.sweep import Sweep
from ml_playground.errors import PlaygroundError, RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sweep import SWEEP_FILE, SweepRecord
from ml_playground.utils.paths import display_path

_ENDED = ("finished", "diverged", "failed")


@dataclass(frozen=True)
class Found:
    """What to compare.

    Attributes:
        folders: run directories.
        of_base: runs of the base, whether they can be compared or not; empty where `base` names a row.
        base: a row that is named after what it changes, which only the table knows.
        names: what the groups of runs in these folders are called.
        output: where the results go; None for beside the base.
        settings: `[compare]`.
        sampling: `[sample]`; None where no TOML file is named.
        left_out: what is known to be missing.
        notes: remarks.
    """

    folders: list[Path]
    of_base: list[Path]
    base: str | None = None
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
    if exp_config is None and folders[0].is_dir() and not _is_experiment(what[0]):
        raise _no_runs(folders[0])
    experiment, config = load_experiment(what[0], exp_config)
    settings, output = config.compare, experiment.output / "reports" / "compare"
    out_dir = config.train.runtime.out_dir
    if settings.runs:
        found = of_folders(settings.runs, base, settings.horizon)
        return replace(found, output=output, settings=settings, sampling=config.sample)
    if config.sweep.seeds:
        sweep = Sweep(config.file.path, name=experiment.name, folder=experiment.folder)
        if (record := SweepRecord.read(sweep.folder)) is None:
            raise PlaygroundError(
                f"{display_path(config.file.path)}: its sweep has not begun. Run 'sweep' with it first."
            )
        found = _of_sweep(sweep.folder, base, settings.horizon)
        notes = [*found.notes, *outdated(sweep, record, found.folders)]
        return replace(found, settings=settings, sampling=config.sample, notes=notes)
    runs = dict.fromkeys([out_dir.parent, experiment.output / "out"])
    folders = [run.path for folder in runs for run in RunDirectory.all_in(folder)]
    if base is None and out_dir not in folders:
        others = ", ".join(display_path(each) for each in folders)
        hint = f" Or choose one of its other runs with --base: {others}" if folders else ""
        hint += _sweeps_in(runs)
        raise PlaygroundError(
            f"{display_path(out_dir)} is not trained yet, and the others are compared with it. Run 'train' first.{hint}"
        )
    found = _with_base(folders, base, [out_dir])
    return replace(found, output=output, settings=settings, sampling=config.sample)


def _holds_runs(folder: Path) -> bool:
    """Whether a folder is a run, a sweep, or has runs in it."""
    return any((folder / name).is_file() for name in (RunDirectory(folder).info.name, SWEEP_FILE)) or bool(
        RunDirectory.all_in(folder)
    )


def _is_experiment(name: str) -> bool:
    with suppress(PlaygroundError):
        experiments.find(name)
        return True
    return False


def _no_runs(folder: Path) -> PlaygroundError:
    what = "no runs in this" if folder.is_dir() else "no such"
    hint = _sweeps_in([folder])
    return PlaygroundError(f"{display_path(folder)}: {what} folder{f'.{hint}' if hint else ''}")


def _sweeps_in(folders: Iterable[Path]) -> str:
    """A sentence that names the sweeps in some folders; empty where there are none."""
    found = [display_path(each.parent) for folder in folders for each in sorted(folder.glob(f"*/{SWEEP_FILE}"))]
    return f" To compare the runs of a sweep, name its folder: {', '.join(found)}" if found else ""


def of_folders(folders: Iterable[Path], base: str | None, horizon: float = 0.0) -> Found:
    """The runs in some folders, of which the first is the base unless it is named.

    Args:
        folders: runs, folders of runs, or sweeps.
        base: what the others are compared with.
        horizon: of sweeps, as in `[compare]`.

    Raises:
        PlaygroundError: one has no runs.
    """
    runs: list[Path] = []
    sweeps: list[Found] = []
    of_base: list[Path] = []
    names: dict[Path, str] = {}
    for folder in folders:
        if (folder / SWEEP_FILE).is_file():
            sweeps.append(_of_sweep(folder, None, horizon))
            inside, first = sweeps[-1].folders, sweeps[-1].of_base
        else:
            is_run = RunDirectory(folder).info.is_file()
            inside = [folder] if is_run else [run.path for run in RunDirectory.all_in(folder)]
            first = inside[:1]
        if not inside:
            raise _no_runs(folder)
        runs += inside
        of_base = of_base or first
        names |= _arms_of(inside)
    left_out = [each for sweep in sweeps for each in sweep.left_out]
    notes = [each for sweep in sweeps for each in sweep.notes]
    alone = sweeps[0] if len(sweeps) == 1 and runs == sweeps[0].folders else None
    found = _with_base(runs, base, of_base, names)
    return replace(found, output=None if alone is None else alone.output, left_out=left_out, notes=notes)


def _arms_of(runs: Iterable[Path]) -> dict[Path, str]:
    """The arms of those runs that belong to a sweep."""
    paths = [each.resolve() for each in runs]
    names: dict[Path, str] = {}
    for home in dict.fromkeys(home for path in paths for home in path.parents[1:3]):
        with suppress(RunDirectoryError):  # damaged: its runs are named after what they change
            record = SweepRecord.read(home)
            names |= {} if record is None else {home / run.folder: run.arm for run in record.runs}
    return {path: names[path] for path in paths if path in names}


def _with_base(
    folders: list[Path], base: str | None, default: list[Path], names: Mapping[Path, str] | None = None
) -> Found:
    """Runs, and which of them are of the base.

    Args:
        folders: the runs.
        base: a name in `names`, the path of a run or of a folder of runs, the name of a run, or a row of the table.
        default: runs of the base where that is None.
        names: what the groups of runs in these folders are called.
    """
    named = dict(names or {})
    if base is None:
        return Found(folders, default, names=named)
    of_group = [each for each in folders if named.get(each.resolve()) == base]
    path = Path(base).resolve()
    at_path = [each for each in folders if path in (each.resolve(), *each.resolve().parents)]
    called = of_group or at_path or [each for each in folders if each.name == base]
    return Found(folders, called, None if called else base, named)


def _of_sweep(folder: Path, base: str | None, horizon: float) -> Found:
    """The runs of a sweep at one of its horizons, by the names of their arms.

    Args:
        folder: of the sweep.
        base: what the others are compared with; None for the sweep's own base.
        horizon: which; 0 for the longest of which every arm has a run that has ended.
    """
    record = SweepRecord.read(folder)
    assert record is not None  # its file is there
    if horizon and horizon not in record.horizons:
        raise PlaygroundError(
            f"[compare] horizon = {horizon:g}: the sweep in {display_path(folder)} has {_listed(record.horizons)}"
        )
    chosen = horizon or _longest_done(record, folder)
    planned = [run for run in record.runs if run.horizon == chosen]
    begun = [run for run in planned if RunDirectory(folder / run.folder).info.is_file()]
    left_out = [
        LeftOut(each.arm, f"dropped by halving after a horizon of {each.horizon:g}, at {_loss(each.loss)}")
        for each in record.dropped
        if each.horizon < chosen
    ]
    missing = len(planned) - len(begun)
    if missing:
        left_out.append(LeftOut(f"{missing} of {len(planned)} runs", "have not begun: 'sweep' resumes there"))
    if not begun:
        at = f" at the horizon {chosen:g}" if len(record.horizons) > 1 else ""
        raise PlaygroundError(f"{display_path(folder)}: no run of this sweep{at} has begun. Run 'sweep' first.")
    others = [each for each in record.horizons if each != chosen]
    why = "" if horizon else ", the longest at which every arm has a run that has ended"
    note = f"all runs are of the horizon {chosen:g}{why}; [compare] horizon selects another: {_listed(others)}"
    found = _with_base(
        [folder / run.folder for run in begun],
        base,
        [folder / run.folder for run in planned if run.arm == record.arms[0].name],
        {(folder / run.folder).resolve(): run.arm for run in planned},
    )
    return replace(found, output=folder, left_out=left_out, notes=[note] if others else [])


def _longest_done(record: SweepRecord, folder: Path) -> float:
    """The longest horizon of which every arm has a run that has ended; if there is none, the first that is trained."""
    states = record.states(folder)
    for horizon in sorted(record.horizons, reverse=True):
        arms = {run.arm for run in record.runs if run.horizon == horizon}
        if all(any(states[run.folder] in _ENDED for run in record.runs_of(arm, horizon)) for arm in arms):
            return horizon
    return record.horizons[0]


def _listed(horizons: Iterable[float]) -> str:
    return ", ".join(f"{each:g}" for each in horizons)


def _loss(loss: float | None) -> str:
    return "no loss" if loss is None else f"{loss:.4f} bits/byte"
