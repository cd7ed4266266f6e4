"""Any bytes as raw text: they are prepared, or refused with a message, in bounded time."""

import io
import signal
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from hypothesis import HealthCheck, settings

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import PlaygroundError

SECONDS = 20  # far more than any example takes on a busy machine


def examples(number: int) -> settings:
    """The same examples at each start."""
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@contextmanager
def bounded() -> Generator[None]:
    """Fail instead of hanging."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done within {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def prepared(files: Mapping[str, bytes], **options: object) -> Dataset | None:
    """The data made of these files, None if they are refused; all else that is raised is a bug."""
    with tempfile.TemporaryDirectory() as place, bounded():
        folder = Path(place)
        (folder / "raw").mkdir()
        for name, content in files.items():
            (folder / "raw" / name).write_bytes(content)
        stated = {
            "dataset": "fuzz",
            "dataset_dir": folder / "datasets",
            "raw_dir": folder / "raw",
        }
        config = PrepareConfig.model_validate({**stated, **options})
        try:
            with redirect_stdout(io.StringIO()):
                prepare_texts(find_texts(config), config)
        except PlaygroundError as error:
            str(error).encode()
            return None
        return open_dataset(config.dataset_dir, config)
