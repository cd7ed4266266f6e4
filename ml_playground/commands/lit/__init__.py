"""Show runs in the browser with LIT."""

from importlib.util import find_spec
from pathlib import Path

from ml_playground.commands import load_experiment
from ml_playground.commands.one_run import require_one_run
from ml_playground.errors import PlaygroundError


def run(experiment: str, runs: list[Path], exp_config: Path | None) -> None:
    """Serve a page on this machine until Ctrl-C.

    Raises:
        PlaygroundError: LIT is not installed, a run has no checkpoint, or the port is taken.
    """
    if not _is_installed():
        raise PlaygroundError(
            "LIT is not installed here. `make lit`, in a clone of the repository, sets up an environment for it, "
            ".venv-lit, and starts it there."
        )
    found, config = load_experiment(experiment, exp_config, check_devices=True)
    shown = runs or config.lit.runs
    if not shown:
        require_one_run(found, config)

    from ml_playground.commands.lit.page import show  # imports torch: only when there is no mistake

    show(config, shown)


def _is_installed() -> bool:
    try:
        return find_spec("lit_nlp.app") is not None  # a folder at the root of the project has the name of the package
    except ModuleNotFoundError:
        return False
