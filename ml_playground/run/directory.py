"""The one place that knows the names of the files in a run directory."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Literal

from ml_playground.errors import LockedError, RunDirectoryError
from ml_playground.utils.files import storage_errors, unused_name
from ml_playground.utils.locks import is_locked, locked

Use = Literal["train", "merge", "export", "evaluate", "report", "explore"]

_USES: dict[Use, str] = {
    "train": "training",
    "merge": "merge, or export of the merged model,",
    "export": "export",
    "evaluate": "evaluation",
    "report": "report",
    "explore": "exploration",
}


class RunDirectory:
    """A folder that holds one training run: `[train.runtime] out_dir`."""

    ADAPTER_WEIGHTS = "adapter_model.safetensors"  # in a folder of adapters, as PEFT calls them
    ADAPTER_INFO = "training.json"  # in a folder of adapters: what they were trained on, and how far
    MERGE_INFO = "merge.json"  # in a merged model: what it was made from, and how closely its logits match

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[int, int] | None = None  # device and inode of the folder, while it is locked
        self.last_checkpoint = path / "ckpt_last.pt"
        self.previous_checkpoint = path / "ckpt_prev.pt"  # the ckpt_last.pt before the current one
        self.best_checkpoint = path / "ckpt_best.pt"
        self.nanogpt_checkpoint = path / "ckpt.pt"
        self.nanogpt_vocabulary = path / "meta.pkl"
        self.info = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.validation_windows = path / "val_windows.npy"  # of the evaluation at the end of training
        self.evaluations = path / "evaluations.json"  # of checkpoints, by `evaluate`
        self.evaluation_folder = path / "evaluations"  # with what the windows of each sum to
        self.samples = path / "samples.jsonl"
        self.sample_texts = path / "samples"
        self.summary = path / "summary.json"
        self.tokenizer = path / "tokenizer" / "tokenizer.json"
        self.report = path / "reports" / "report"  # with .html, .md and .json: of its best checkpoint, by `report`
        self.exploration = path / "reports" / "explore"  # with .html and .json: passages, token by token, by `explore`
        self.merged = path / "merged"
        self.exports = path / "export"
        self.huggingface = self.exports / "huggingface"
        self.modelfile = self.exports / "Modelfile"
        self.reports = path / "reports"
        self.tensorboard = path / "logs" / "tb"

    @property
    def name(self) -> str:
        """Its folder's name; of a sweep's run, with the folders of the arm and the sweep."""
        folders = self.path.parts
        outermost = max((index for index, each in enumerate(folders[:-1]) if each == "out"), default=len(folders) - 2)
        return "/".join(folders[outermost + 1 :])

    @classmethod
    def all_in(cls, folder: Path) -> list["RunDirectory"]:
        """The runs in a folder, by name."""
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            return [cls(path.parent) for path in sorted(folder.glob("*/run.json"))]
        return []

    @classmethod
    def all_below(cls, folder: Path) -> Iterator["RunDirectory"]:
        """The runs in a folder and in all below it that are not hidden, by path; a run has no others in it."""
        for path, folders, names in os.walk(folder):
            if {"run.json", "summary.json"} & set(names):
                folders.clear()
                yield cls(Path(path))
            folders[:] = sorted(each for each in folders if not each.startswith("."))

    @property
    def is_training(self) -> bool:
        """Whether a process is training in it now."""
        return is_locked(self.path / "train.lock")

    def numbered_checkpoint(self, step: int) -> Path:
        """The checkpoint that `always_save_checkpoint` keeps for the evaluation after `step` steps."""
        return self.path / f"ckpt_{step:08d}.pt"

    def numbered_checkpoints(self) -> list[Path]:
        """All numbered checkpoints, the earliest first."""
        return sorted(self.path.glob("ckpt_" + "[0-9]" * 8 + ".pt"))

    def adapters(self, which: Literal["last", "best", "final"]) -> Path:
        """The folder of a fine-tuned model's adapters, in PEFT's format."""
        return self.path / "adapters" / which

    def evaluation_windows(self, checkpoint: Path, context: int, stride: int, content: str) -> Path:
        """The file with what the windows sum to that `evaluate` measured a checkpoint in; `content` is their hash."""
        return self.evaluation_folder / f"{checkpoint.stem}-{context}-{stride}-{content}.npy"

    def sample_text(self, time: datetime) -> Path:
        """A new file for the texts that are sampled from this time on."""
        stem = f"sample-{time:%Y%m%d-%H%M%S}"
        names = (self.sample_texts / f"{stem}{number}.txt" for number in chain([""], (f"-{i}" for i in count(2))))
        return next(name for name in names if not name.exists())

    def gguf(self, kind: str) -> Path:
        """The GGUF file whose matrices are of a type such as `f16`."""
        return self.exports / f"{self.path.name}-{kind}.gguf"

    def set_aside_metrics(self) -> None:
        """Before a new run starts, rename the metrics left by one whose `ckpt_last.pt` was deleted."""
        _set_aside(self.metrics)

    def set_aside_evaluations(self) -> None:
        """The same of what `evaluate` has measured."""
        for path in (self.evaluations, self.evaluation_folder):
            _set_aside(path)

    def clear_folder(self, folder: Path) -> Path | None:
        """Set aside a file that is in the way of one of the run's folders; its new path, None if there was none."""
        return None if folder.is_dir() else _set_aside(folder)

    @contextmanager
    def lock(self, use: Use = "train") -> Generator[None]:
        """Lock the run directory while writing to it. The lock is released when the process ends, however it ends.

        Raises:
            RunDirectoryError: another process holds the lock, or the path is not a folder.
            StorageError: the system refuses to write there.
        """
        with storage_errors(self.path):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise RunDirectoryError(f"{self.path} is a file. Set [train.runtime] out_dir to a folder.") from None
        about = self.path.stat()
        held_before, self._held = self._held, (about.st_dev, about.st_ino)
        try:
            with locked(self.path / f"{use}.lock"):
                if use == "train":
                    self._remove_leftovers()
                yield
        except LockedError as error:
            raise RunDirectoryError(
                f"{self.path}: another {_USES[use]} (process {error.owner}) is writing here. "
                "Wait for it, stop it, or set another [train.runtime] out_dir."
            ) from None
        finally:
            self._held = held_before

    def _remove_leftovers(self) -> None:
        """Remove unfinished files of a training process that was killed."""
        with storage_errors(self.path):
            for leftover in self.path.glob("*.tmp"):
                if leftover.is_file():  # a folder belongs to a merge, which may still be running
                    leftover.unlink()

    @contextmanager
    def writing(self) -> Generator[None]:
        """A block in which files of the run are written.

        Raises:
            RunDirectoryError: the run directory or one of its files was moved or deleted meanwhile.
            StorageError: the system refuses to write there.
        """
        self.require()
        try:
            with storage_errors(self.path):
                yield
        except FileNotFoundError as error:
            self.require()
            raise RunDirectoryError(f"{error.filename} was deleted during training.") from error

    def require(self) -> None:
        """Make sure that the path is still the folder that was locked.

        Raises:
            RunDirectoryError: the locked run directory was moved or deleted.
        """
        if self._held is None:
            return
        try:
            about = self.path.stat()
        except FileNotFoundError:
            about = None
        if about is None or (about.st_dev, about.st_ino) != self._held:
            raise RunDirectoryError(
                f"{self.path} was moved or deleted while in use, so nothing more is written. "
                "Move it back, then run the same command again: it resumes from the last checkpoint there."
            )


def _set_aside(path: Path) -> Path | None:
    """Rename a file or a folder; its new path, None if there is nothing at `path`."""
    if not path.exists():
        return None
    aside = unused_name(path)
    with storage_errors(aside):
        path.rename(aside)
    return aside
