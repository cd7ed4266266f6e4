"""What Python programs do with experiments and runs: see docs/python.md. `ml_playground` itself has these names."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ml_playground import experiments
from ml_playground.commands import load_experiment
from ml_playground.commands.one_run import require_one_run
from ml_playground.commands.train import train as train_model
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sections import SamplingConfig
from ml_playground.data.manifest import Manifest, read_manifest
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import RunDirectoryError
from ml_playground.inference.generate import generate, split_streams
from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.inference.prompt import encode_prompt
from ml_playground.inference.score import token_losses
from ml_playground.models.base import LanguageModel
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.runtime import mix_seed, resolve
from ml_playground.utils.extras import needing
from ml_playground.utils.paths import project_root, real_path
from ml_playground.utils.registry import use


def prepare(experiment: str | Path, config: str | Path | None = None) -> Manifest:
    """Make token files from an experiment's text, unless exactly these are there already.

    Args:
        experiment: its name, or the path of its folder.
        config: a TOML file to use instead of the experiment's `config.toml`.

    Raises:
        PlaygroundError: a mistake, with a message that says what to do.
    """
    found, settings = load_experiment(experiment, config)
    with needing("finetune"):
        experiments.prepare(found, settings.prepare)
    manifest = read_manifest(settings.prepare.dataset_dir)
    assert manifest is not None  # it has just been written, or was there
    return manifest


def train(experiment: str | Path, config: str | Path | None = None) -> "LoadedRun":
    """Train on data that is prepared, resuming from the last checkpoint where there is one. It prints its progress.

    Args:
        experiment: its name, or the path of its folder.
        config: a TOML file to use instead of the experiment's `config.toml`.

    Raises:
        StoppedBySignalError: SIGINT or SIGTERM stopped it; everything is saved.
        PlaygroundError: a mistake, with a message that says what to do.
    """
    found, settings = load_experiment(experiment, config, check_devices=True)
    require_one_run(found, settings)
    with needing("finetune"):
        train_model(settings)
    return LoadedRun(settings.train.runtime.out_dir, settings)


def load_run(path: str | Path, config: ExperimentConfig | None = None) -> "LoadedRun":
    """Open the run in a folder. It prints nothing and writes nothing.

    Args:
        path: the run directory, such as "phrases/out/phrases". As all paths in Python, a relative one counts from the
            current folder, not from the project root as `[train.runtime] out_dir` does.
        config: what it was trained with, needed only for a model from a file of one's own: no file runs because a
            checkpoint names it.

    Raises:
        RunDirectoryError: there is no such folder.
    """
    if not Path(path).is_dir():
        raise RunDirectoryError(f"{path}: there is no such folder. {_where_runs_are(Path(path))}")
    return LoadedRun(Path(path).absolute(), config)


def _where_runs_are(path: Path) -> str:
    """What to do about a run that is not at `path`."""
    here, root = Path.cwd() / path, project_root(Path.cwd() / "config.toml") / path
    if real_path(here) == real_path(root):
        return "A run is in the out_dir that `train` printed."
    there = f"The run is at {root}" if root.is_dir() else f"Nor is there {root}"
    return f"A relative path counts from the current folder: {here}. An out_dir counts from the project root. {there}."


@dataclass(frozen=True)
class TokenScore:
    """A token of a text and how badly it was predicted.

    Attributes:
        text: what it stands for; U+FFFD where it is part of a character.
        nats: its loss, in nats.
    """

    text: str
    nats: float


class LoadedRun(Run):
    """A run that is only read, and its model, whose weights are loaded when something first needs them."""

    def __init__(self, path: Path, config: ExperimentConfig | None = None) -> None:
        super().__init__(RunDirectory(path))
        self.config = config

    @property
    def model(self) -> LanguageModel:
        """The best model, in evaluation mode, on the CPU in float32. Raises CheckpointError if there is none."""
        return self.trained.model

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""
        return self.trained.tokenizer

    @cached_property
    def trained(self) -> TrainedModel:
        """The best model with its tokenizer, its step, its validation loss and its warnings."""
        with needing("finetune"):
            if self.config is None:
                trained = load_trained(self.directory)
            else:
                use(self.config.plugins)  # another configuration may have been loaded since
                trained = load_trained(self.directory, spec_of(self.config.train, self.config.file.root))
        trained.model.eval()
        return trained

    def sample(self, prompt: str = "", *, seed: int = 1337, **sampling: Any) -> str:
        """A text that follows `prompt`, without it.

        Args:
            prompt: how it begins; "" starts a new document, where the data has documents.
            seed: same seed, same text.
            sampling: options of `[sample.sample]`, such as `max_new_tokens=100, temperature=0.8, top_k=0`.

        Raises:
            PromptError: the prompt has a character outside the vocabulary, or is empty and there are no documents.
            pydantic.ValidationError: an option is not one, or out of range.
        """
        settings = SamplingConfig.model_validate({"start": prompt, **sampling})
        runtime = resolve("cpu", "float32")
        ids = encode_prompt(prompt, self.tokenizer)
        steps = generate(self.model, ids, self.tokenizer, settings, runtime=runtime, seeds=[mix_seed(seed, 0)])
        (tokens,) = split_streams(steps, 1)
        return self.tokenizer.decode(tokens)

    def score(self, text: str) -> list[TokenScore]:
        """The loss of each token of a text, which is a document of its own where the data has documents.

        Where it has none, nothing predicts the first token, and the list begins with the second.

        Raises:
            PromptError: a character is outside the vocabulary, or there is no token to predict.
        """
        ids = encode_prompt(text, self.tokenizer)
        if len(ids) < 2:
            return []
        losses = token_losses(self.model, torch.tensor(ids))
        return [
            TokenScore(self.tokenizer.decode([token]), float(nats)) for token, nats in zip(ids[1:], losses, strict=True)
        ]
