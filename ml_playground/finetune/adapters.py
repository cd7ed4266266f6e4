"""Adapters in PEFT's format, written along with the checkpoints that training resumes from."""

import shutil
from pathlib import Path

from ml_playground.data.tokenizers.base import TOKENIZER_FILES
from ml_playground.finetune.model import FineTuned
from ml_playground.run.checkpoint import Checkpoint
from ml_playground.run.directory import RunDirectory
from ml_playground.run.finetuned import AdapterInfo
from ml_playground.run.store import Artifact, Which
from ml_playground.utils.checksums import write_checksums
from ml_playground.utils.files import atomic_replace


class Adapters(Artifact):
    """`adapters/{last,best,final}`, which PEFT loads."""

    def __init__(self, run: RunDirectory, model: FineTuned, tokenizer_folder: Path) -> None:
        """Write to a run directory.

        Args:
            run: the run.
            model: what is trained.
            tokenizer_folder: the files of its tokenizer, which are copied to the adapters.
        """
        self._run = run
        self._model = model
        self._tokenizer_folder = tokenizer_folder

    def write(self, which: Which, checkpoint: Checkpoint) -> None:
        """See `Artifact`."""
        with atomic_replace(self._run.adapters(which), replace=True) as new:
            self._model.save_adapters(new, checkpoint.averaged_weights)
            for name in TOKENIZER_FILES:
                if (self._tokenizer_folder / name).is_file():
                    shutil.copyfile(self._tokenizer_folder / name, new / name)
            AdapterInfo.of(checkpoint).write(new)
            write_checksums(new)

    def best_is_saved(self) -> None:
        """See `Artifact`: there is nothing more to do."""
