"""Commands that are for one run, when they get the TOML file of a sweep, which has many."""

from contextlib import suppress

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sweep import Sweep
from ml_playground.errors import PlaygroundError, RunDirectoryError
from ml_playground.experiments import Experiment
from ml_playground.run.sweep import SweepRecord
from ml_playground.utils.paths import display_path


def require_one_run(experiment: Experiment, config: ExperimentConfig) -> None:
    """Refuse the TOML file of a sweep, and name that of one of its runs.

    Raises:
        PlaygroundError: the file describes a sweep.
    """
    if not config.sweep.seeds:
        return
    folder, record = Sweep(config.file.path, name=experiment.name, folder=experiment.folder).folder, None
    with suppress(RunDirectoryError):  # damaged: 'sweep' writes it again
        record = SweepRecord.read(folder)
    runs = [] if record is None else sorted(record.runs, key=lambda run: -run.horizon)
    files = (folder / run.folder / "config.toml" for run in runs)
    written = next((display_path(file) for file in files if file.is_file()), None)
    one = "pass the config.toml in its folder" if written is None else f"--exp-config {written}, for example"
    raise PlaygroundError(
        f"{display_path(config.file.path)} describes a sweep: run it with 'sweep'. This command takes one of its runs: "
        f"{one}."
    )
