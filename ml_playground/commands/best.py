"""The best model of a run, for the verbs that write a page about it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_playground.analysis.subject import Source, Subject
from ml_playground.commands.build import build_evaluator, build_runtime
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import CheckpointError
from ml_playground.inference.load import TrainedModel, best_weights_hash, load_trained, weights_hash
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.directory import RunDirectory, Use
from ml_playground.run.toml_file import other_file_warning
from ml_playground.utils.files import atomic_write, read_file, write_json
from ml_playground.utils.paths import display_path


@dataclass(frozen=True)
class Best:
    """The best checkpoint of a run, whose weights are not loaded yet.

    Attributes:
        run: the run.
        dataset: its data, opened.
        spec: what the configuration names for its model.
        digest: hash of the best weights, None where there are none, or only nanoGPT's.
    """

    run: RunDirectory
    dataset: Dataset
    spec: ModelSpec
    digest: str | None

    @classmethod
    def find(cls, config: ExperimentConfig) -> "Best":
        """That of the run which `[sample.runtime] out_dir` names, with a warning if another file made the run.

        Raises:
            DataError: the data is not prepared, or stale.
        """
        run = RunDirectory(config.sample.runtime.out_dir)
        if (warning := other_file_warning(run, config.train.runtime.out_dir, config.file)) is not None:
            print(f"! {warning}", file=sys.stderr)
        dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
        spec = spec_of(config.train, config.file.root)
        return cls(run, dataset, spec, _best_hash(run, spec))

    def is_described_by(self, record: Path, settings: dict[str, Any], pages: tuple[str, ...]) -> bool:
        """Whether the file `record` says that the pages beside it are of these weights, data and settings."""
        try:
            stored = json.loads(read_file(record))["source"]
            made_from = stored["sha256"], stored["data"], stored["settings"]
        except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: it is written again
            return False
        whole = all((record.parent / name).is_file() for name in pages)
        return whole and made_from == (self.digest, self.dataset.manifest.fingerprint, settings)

    def load(self, config: ExperimentConfig, settings: dict[str, Any]) -> tuple[Source, Subject]:
        """The model on its device, and what a page about it is made from, `settings` among it.

        Raises:
            CheckpointError: there is no sound checkpoint, or it was trained on other data.
        """
        trained, digest = self._loaded()
        for warning in trained.warnings:
            print(warning, file=sys.stderr)
        _require_fit(trained, self.dataset, config)
        source = Source(
            checkpoint=trained.path.relative_to(self.run.path).as_posix(),
            sha256=digest,
            step=trained.step,
            data=self.dataset.manifest.fingerprint,
            settings=settings,
        )
        evaluator, runtime = build_evaluator(config, self.dataset), build_runtime(config.train.runtime)
        trained.model.to(runtime.device).eval()
        return source, Subject(trained.model, self.dataset, runtime, config.train.data.block_size, evaluator)

    def _loaded(self) -> tuple[TrainedModel, str]:
        """The model with the hash of its weights; it is read again where a training replaces it meanwhile.

        Raises:
            CheckpointError: there is none.
        """
        digest = self.digest
        while True:
            trained = load_trained(self.run, self.spec)
            before, digest = digest, weights_hash(trained.path)
            if digest == before:
                return trained, digest

    def keep(self, use: Use, record: Path, values: dict[str, Any], pages: Mapping[str, str]) -> None:
        """Write pages by name, and `record` last: by it one sees whether they are up to date."""
        with self.run.lock(use), self.run.writing():
            record.parent.mkdir(parents=True, exist_ok=True)
            for name, text in pages.items():
                with atomic_write(record.parent / name) as file:
                    file.write(text.encode(errors="backslashreplace"))
            write_json(record, values)


def _best_hash(run: RunDirectory, spec: ModelSpec) -> str | None:
    """The hash of the best weights, None where there are none of ours."""
    try:
        return best_weights_hash(run, spec)
    except CheckpointError:
        return None


def _require_fit(trained: TrainedModel, dataset: Dataset, config: ExperimentConfig) -> None:
    """Raises CheckpointError if the model was trained on other data or takes fewer tokens than are to be evaluated."""
    name = display_path(trained.path)
    if trained.data is None:
        same = trained.tokenizer.describe() == dataset.tokenizer.describe()
    else:
        same = trained.data == dataset.manifest.fingerprint
    if not same:
        raise CheckpointError(f"{name} was trained on different data than is prepared now. Prepare the old data again.")
    context, most = config.train.data.block_size, trained.model.block_size
    if context > most:
        raise CheckpointError(
            f"[train.data] block_size = {context} is beyond the model in {name}, whose block_size is {most}. "
            f"Set it to {most}."
        )
