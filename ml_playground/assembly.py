"""The parts of a training, put together as a configuration says."""

import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from ml_playground.checkpoint import CheckpointStore, Origin
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.files import shown
from ml_playground.data.batches import Batches
from ml_playground.data.store import Dataset
from ml_playground.evaluation import Evaluator
from ml_playground.imports import code_hash
from ml_playground.models import build_model, load_weights
from ml_playground.runtime import Runtime, compile_model, seed_everything
from ml_playground.training.optim import build_optimizer
from ml_playground.training.resume import best_on_disk
from ml_playground.training.schedule import learning_rate
from ml_playground.training.trainer import Trainer

_COMPARED_TOKENS = 4096  # of the data, to tell whether init_from's model knows its ids


def build_trainer(
    config: ExperimentConfig,
    dataset: Dataset,
    runtime: Runtime,
    store: CheckpointStore,
    origin: Origin,
    weights: Mapping[str, Tensor] | None = None,
) -> Trainer:
    """The trainer of a run, at its first step.

    Args:
        config: what to train, on what, how.
        dataset: the opened data.
        runtime: the device and number format.
        store: where checkpoints go.
        origin: what the run is made of; a resumed run's model arguments are those of its checkpoint.
        weights: those to begin with; None draws them.

    Raises:
        CheckpointError: `weights` do not fit the model arguments.
    """
    data, optim, settings = config.train.data, config.train.optim, config.train.runtime
    batches = Batches(dataset.train, seed=settings.seed, **data.model_dump(exclude={"dataset_dir"}))
    evaluator = build_evaluator(config, dataset)
    seed_everything(settings.seed)  # for the initial weights
    model = build_model(origin.model_args, config.train.model.file)
    if weights is not None:
        load_weights(model, weights)
    model.to(runtime.device)
    if settings.compile:
        compile_model(model, runtime)
    return Trainer(
        model=model,
        optimizer=build_optimizer(model, optim),
        learning_rate=partial(learning_rate, peak=optim.learning_rate, schedule=config.train.schedule),
        batches=batches,
        evaluator=evaluator,
        store=store,
        runtime=runtime,
        origin=origin,
        settings=settings,
        best_on_disk=best_on_disk(store, origin, evaluator, runtime, config.train.model.file),
        grad_clip=optim.grad_clip,
    )


def build_evaluator(config: ExperimentConfig, dataset: Dataset) -> Evaluator:
    """Measures models as `[train.runtime]` says."""
    return Evaluator(
        dataset.val,
        dataset.tokenizer.byte_lengths(),
        block_size=config.train.data.block_size,
        max_windows=config.train.runtime.eval_iters,
    )


def fresh_start(config: ExperimentConfig, dataset: Dataset, root: Path) -> tuple[Origin, Mapping[str, Tensor] | None]:
    """What a new run is made of, and the weights that it begins with if they are another model's.

    Raises:
        CheckpointError: the model in `[train.model] init_from` is missing, unknown, or does not fit the data.
    """
    origin, source = origin_of(config, dataset, root), config.train.model.init_from
    if source is None:
        return origin, None
    # Hugging Face's libraries take half a second to import, which a training from nothing is spared.
    from ml_playground.pretrained.load import load_pretrained

    sample = dataset.tokenizer.decode(dataset.val[:_COMPARED_TOKENS].tolist())
    found = load_pretrained(source, config.train.model, dataset.tokenizer, sample)
    shape = ", ".join(f"{key} = {found.model_args[key]}" for key in ("kind", "n_layer", "n_head", "n_embd"))
    print(f"beginning with {shown(Path(source))}: {shape}")
    return origin.with_model({**found.model_args, "init_from": origin.model_args["init_from"]}), found.weights


def origin_of(config: ExperimentConfig, dataset: Dataset, root: Path) -> Origin:
    """What a run is made of; paths in it count from `root`."""
    resolved = config.resolved(root)
    return Origin(
        model_args={**resolved["train"]["model"], "vocab_size": dataset.tokenizer.vocab_size},
        tokenizer=dataset.tokenizer.describe(),
        data=dataset.manifest.fingerprint,
        config=resolved,
        versions=_versions(),
        model_code=code_hash(config.train.model.file),
    )


def _versions() -> dict[str, str]:
    return {
        "ml_playground": version("ml-playground"),
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }
