"""Adapters in PEFT's format, beside the checkpoints that training goes on from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ml_playground.data.fast_tokenizer import TOKENIZER_FILES
from ml_playground.models.finetuned import FineTuned
from ml_playground.run.checkpoint import Checkpoint, CheckpointStore, load
from ml_playground.run.directory import RunDirectory
from ml_playground.utils.checksums import write_checksums
from ml_playground.utils.files import copy_files, staged, write_json


class AdapterStore(CheckpointStore):
    """Checkpoints of a fine-tuned model, and of adapters a copy that PEFT loads: `adapters/{last,best,final}`."""

    def __init__(
        self,
        run: RunDirectory,
        *,
        keep_last_n: int,
        model: FineTuned,
        tokenizer_folder: Path,
        on_best: Callable[[], object],
    ) -> None:
        """Take a run's places.

        Args:
            run: the run.
            keep_last_n: see `CheckpointStore`.
            model: what is trained.
            tokenizer_folder: the files of its tokenizer, which go beside the adapters.
            on_best: is called whenever a new best model has been saved, and at the end.
        """
        super().__init__(run, keep_last_n=keep_last_n)
        self._model = model
        self._tokenizer_folder = tokenizer_folder
        self._on_best = on_best

    def save(self, checkpoint: Checkpoint, *, is_best: bool = False, step: int | None = None) -> None:
        """See `CheckpointStore`."""
        self.run.require()
        if is_best:  # before the checkpoint: a kill in between repeats it from the one before
            self._write("best", checkpoint)
        self._write("last", checkpoint)
        super().save(checkpoint, is_best=is_best, step=step)
        if is_best:
            self._on_best()

    def discard_last(self) -> Path:
        """See `CheckpointStore`."""
        aside = super().discard_last()
        if self.run.last_checkpoint.exists():
            self._write("last", load(self.run.last_checkpoint))
        return aside

    def finish(self) -> None:
        """See `CheckpointStore`: the last adapters are the final ones."""
        if self._model.has_adapters:
            if not self.run.adapters("last").exists():  # somebody removed them
                self._write("last", load(self.run.last_checkpoint))
            with staged(self.run.adapters("final"), replace=True) as new:
                copy_files(self.run.adapters("last"), new)
        self._on_best()  # once more, in case it was killed when the best was found

    def _write(self, which: Literal["last", "best"], checkpoint: Checkpoint) -> None:
        if not self._model.has_adapters:
            return
        tokenizer = {key: value for key, value in checkpoint.origin.tokenizer.items() if key != "tokenizer"}
        about = {
            "step": checkpoint.progress["step"],
            "val_loss": checkpoint.progress["val_loss"],
            "model_args": checkpoint.origin.model_args,
            "model_source": checkpoint.origin.model_source,
            "tokenizer": tokenizer,
            "data": checkpoint.origin.data,
            "versions": checkpoint.origin.versions,
        }
        with staged(self.run.adapters(which), replace=True) as new:
            self._model.save_adapters(new, checkpoint.trained_state)
            for name in TOKENIZER_FILES:
                if (self._tokenizer_folder / name).is_file():
                    shutil.copyfile(self._tokenizer_folder / name, new / name)
            write_json(new / RunDirectory.ADAPTER_INFO, about)
            write_checksums(new)
