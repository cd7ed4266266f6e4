"""The parts of a training, built from a configuration."""

import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.sections import TrainRuntimeConfig
from ml_playground.data.batches import Batches
from ml_playground.data.store import Dataset, tokenizer_folder
from ml_playground.errors import CheckpointError, PlaygroundError
from ml_playground.evaluation import Evaluator
from ml_playground.inference.load import best_weights, load_trained, merged_from, weights_of
from ml_playground.models import LanguageModel, build_model, load_weights
from ml_playground.models.causality import require_causal
from ml_playground.run.checkpoint import CheckpointStore, Origin, source_hash
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import Runtime, compile_model, memory_errors_explained, resolve, seed_everything
from ml_playground.training.optim import build_optimizer
from ml_playground.training.resume import best_on_disk
from ml_playground.training.trainer import Trainer
from ml_playground.utils.paths import shown

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
    if config.train.model.file is not None:  # on a model of its own, so that training is as without it
        looked_at = build_model(origin.model_args, config.train.source).to(runtime.device)
        if (warning := require_causal(looked_at, config.train.model.file)) is not None:
            print(f"! {warning}")
    seed_everything(settings.seed)  # for the initial weights
    model = build_model(origin.model_args, config.train.source)
    if weights is not None:
        load_weights(model, weights)
    model.to(runtime.device)
    if settings.compile:
        compile_model(model, runtime)
    if config.train.hf_model.model_name is not None:
        store = _adapter_store(config, dataset, store.run, model)
    return Trainer(
        model=model,
        optimizer=build_optimizer(model, optim),
        learning_rate=partial(config.train.schedule.learning_rate, peak=optim.learning_rate),
        batches=batches,
        evaluator=evaluator,
        store=store,
        runtime=runtime,
        origin=origin,
        settings=settings,
        best_on_disk=best_on_disk(store, origin, evaluator, runtime, config.train.source),
        grad_clip=optim.grad_clip,
    )


def _adapter_store(
    config: ExperimentConfig, dataset: Dataset, run: RunDirectory, model: LanguageModel
) -> CheckpointStore:
    """Where a fine-tuned model's checkpoints go."""
    # Imported here, as Hugging Face's libraries take seconds, which other trainings are spared.
    from ml_playground.finetune.adapters import AdapterStore
    from ml_playground.models.finetuned import FineTuned

    assert isinstance(model, FineTuned)
    settings = config.train.runtime
    return AdapterStore(
        run,
        keep_last_n=settings.keep_last_n,
        model=model,
        tokenizer_folder=tokenizer_folder(config.train.data.dataset_dir),
        on_best=partial(_merge_beside, config, dataset, run) if settings.save_merged_on_best else lambda: None,
    )


def _merge_beside(config: ExperimentConfig, dataset: Dataset, run: RunDirectory) -> None:
    """Merge the best model while the training goes on, which no trouble with that may end."""
    if merged_from(run) == best_weights(run, config.train.source):
        return
    try:
        with memory_errors_explained():
            merge_best(config, dataset, run)
    except PlaygroundError as error:
        print(f"! not merged: {error}")


def merge_best(config: ExperimentConfig, dataset: Dataset, run: RunDirectory) -> None:
    """Write the best model of a run, fine-tuned, as a folder of its own, and say how closely it agrees.

    Raises:
        CheckpointError: there is none, or it is not of this data.
        ExportError: what was written computes something else.
    """
    from ml_playground.finetune.merge import merge
    from ml_playground.models.finetuned import FineTuned

    trained = load_trained(run, config.train.source, dtype="float32")
    if not isinstance(trained.model, FineTuned):
        raise CheckpointError(
            f"{trained.path} is not a model of [train.hf_model]: there is nothing to merge. See 'export'."
        )
    if trained.data != dataset.manifest.fingerprint:
        raise CheckpointError(
            f"{trained.path} was trained on other data than is prepared now, so that it cannot be checked. "
            "Prepare the old data again."
        )
    folder = tokenizer_folder(config.train.data.dataset_dir)
    about: dict[str, str | float] = {
        "made_of": trained.path.name,
        "step": trained.step,
        "val_loss": trained.val_loss,
        "weights": weights_of(trained.path),
    }
    with run.lock("merge"):
        agreement = merge(
            trained.model,
            run.merged,
            val=dataset.val,
            tokenizer=dataset.tokenizer,
            tokenizer_folder=folder,
            about=about,
        )
    print(
        f"{shown(run.merged)}: {trained.path.name} ({trained.standing}) merged; logits within "
        f"{agreement.largest_difference:.1e} of what they were, of which the largest is {agreement.largest_logit:.1f}"
    )


def build_runtime(settings: TrainRuntimeConfig) -> Runtime:
    """Device, number format and threads of a training."""
    return resolve(settings.device, settings.dtype, deterministic=settings.deterministic, threads=settings.threads)


def build_evaluator(config: ExperimentConfig, dataset: Dataset) -> Evaluator:
    """Measures models as `[train.runtime]` says."""
    return Evaluator(
        dataset.val,
        dataset.tokenizer.byte_lengths(),
        block_size=config.train.data.block_size,
        max_windows=config.train.runtime.eval_iters,
    )


def fresh_start(config: ExperimentConfig, dataset: Dataset) -> tuple[Origin, Mapping[str, Tensor] | None]:
    """What a new run is made of, and the weights that it begins with if they are another model's.

    Raises:
        CheckpointError: the model in `[train.model] init_from` is missing, unknown, or does not fit the data.
    """
    origin, source = origin_of(config, dataset), config.train.model.init_from
    if source is None:
        return origin, None
    # Hugging Face's libraries take half a second to import, which a training from scratch is spared.
    from ml_playground.interop.pretrained import load_pretrained

    sample = dataset.tokenizer.decode(dataset.val[:_COMPARED_TOKENS].tolist())
    found = load_pretrained(source, config.train.model, dataset.tokenizer, sample)
    shape = ", ".join(f"{key} = {found.model_args[key]}" for key in ("kind", "n_layer", "n_head", "n_embd"))
    print(f"beginning with {shown(Path(source))}: {shape}")
    return origin.with_model({**found.model_args, "init_from": origin.model_args["init_from"]}), found.weights


def origin_of(config: ExperimentConfig, dataset: Dataset) -> Origin:
    """What a run is made of."""
    resolved = config.resolved()
    model_args = {**resolved["train"]["model"], "vocab_size": dataset.tokenizer.vocab_size}
    if config.train.hf_model.model_name is not None:
        model_args = {
            "hf_model": resolved["train"]["hf_model"],
            "peft": resolved["train"]["peft"],
            "block_size": config.train.hf_model.block_size,
            "vocab_size": dataset.tokenizer.vocab_size,
            "new_tokens": dataset.tokenizer.untrained_tokens(),
        }
    return Origin(
        model_args=model_args,
        tokenizer=dataset.tokenizer.describe(),
        data=dataset.manifest.fingerprint,
        config=resolved,
        versions=_versions(),
        model_source=source_hash(config.train.source),
    )


def _versions() -> dict[str, str]:
    libraries = ("torch", "numpy", "transformers", "peft")
    versions = {"ml_playground": version("ml-playground"), "python": platform.python_version()}
    return versions | {name: version(name) for name in libraries}
