"""The parts of a training, built from a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.recorded import recorded_config
from ml_playground.config.sections import EvaluateConfig, TrainRuntimeConfig
from ml_playground.data.batches import Batches
from ml_playground.data.store import Dataset, tokenizer_folder
from ml_playground.evaluation import Evaluator
from ml_playground.models.build import load_weights
from ml_playground.models.spec import ModelSpec, spec_of
from ml_playground.run.checkpoint import Provenance
from ml_playground.run.directory import RunDirectory
from ml_playground.run.records import RunRecord
from ml_playground.run.store import Artifact, CheckpointStore
from ml_playground.run.surroundings import versions_of
from ml_playground.runtime import Runtime, compile_model, resolve, seed_everything
from ml_playground.training.curriculum import Curriculum, Stage
from ml_playground.training.optim import build_optimizer
from ml_playground.training.resume import stored_best_loss
from ml_playground.training.trainer import Trainer
from ml_playground.utils.paths import project_root
from ml_playground.utils.tables import table_at

_COMPARED_TOKENS = 4096  # of the data, to find out whether a model to begin with knows its ids


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        spec: its model.
        origin: what the run is made of.
        weights: those to begin with; None draws them.
    """

    spec: ModelSpec
    origin: Provenance
    weights: Mapping[str, Tensor] | None = None


def fresh_start(config: ExperimentConfig, dataset: Dataset) -> Start:
    """Where a new run starts.

    Raises:
        CheckpointError: the model to begin with is missing, unknown, or does not fit the data.
    """
    sample = dataset.tokenizer.decode(dataset.val[:_COMPARED_TOKENS].tolist())
    begun = spec_of(config.train, config.file.root).begin(dataset.tokenizer, sample)
    if begun.report is not None:
        print(begun.report)
    return Start(begun.spec, origin_of(config, dataset, begun.spec), begun.weights)


def origin_of(config: ExperimentConfig, dataset: Dataset, spec: ModelSpec) -> Provenance:
    """What a run of the model `spec` is made of."""
    resolved = config.resolved()
    train = {**resolved["train"], **spec.stated(resolved["train"])}
    return Provenance(
        model_args=dict(spec.options),
        tokenizer=dataset.tokenizer.describe(),
        data=dataset.manifest.fingerprint,
        config={**resolved, "train": train},
        versions=versions_of(train),
        model_identity=spec.identity(),
    )


def finetuned_spec(run: RunDirectory, record: RunRecord) -> ModelSpec | None:
    """The pretrained model that a run is fine-tuned from; None for any other, which is known from its checkpoint.

    Raises:
        RunDirectoryError: another version wrote `run.json`, with other options.
    """
    if (table_at(record.config, ("train", "hf_model")) or {}).get("model_name") is None:
        return None
    root = project_root(run.info)
    return spec_of(recorded_config(record.config, root).train, root)


def build_trainer(
    config: ExperimentConfig, dataset: Dataset, runtime: Runtime, run: RunDirectory, start: Start
) -> Trainer:
    """The trainer of a run, at its first step.

    Args:
        config: what to train, on what, how.
        dataset: the opened data.
        runtime: the device and number format.
        run: where checkpoints go.
        start: what it starts from.

    Raises:
        CheckpointError: weights do not fit the model.
    """
    data, optim, settings = config.train.data, config.train.optim, config.train.runtime
    spec = start.spec
    batches = Batches(dataset.train, seed=settings.seed, **data.model_dump(exclude={"dataset_dir"}))
    learning_rate = partial(config.train.schedule.learning_rate, peak=optim.learning_rate)
    evaluator = build_evaluator(config, dataset)
    if (warning := spec.check(runtime.device)) is not None:
        print(f"! {warning}")
    seed_everything(settings.seed)  # for the initial weights
    model = spec.build()
    if start.weights is not None:
        load_weights(model, start.weights)
    model.to(runtime.device)
    if settings.compile:
        compile_model(model, runtime)
    artifacts: list[Artifact] = [*spec.artifacts(run, model, tokenizer_folder(data.dataset_dir))]
    if settings.save_merged_on_best:
        from ml_playground.commands.merge import MergedModel

        artifacts.append(MergedModel(config, dataset, run))
    return Trainer(
        model=model,
        optimizer=build_optimizer(model, optim),
        curriculum=Curriculum([Stage(batches, learning_rate, settings.max_iters)]),
        evaluator=evaluator,
        store=CheckpointStore(run, keep_last_n=settings.keep_last_n, artifacts=artifacts, report=print),
        runtime=runtime,
        origin=start.origin,
        settings=settings,
        stored_best_loss=stored_best_loss(run, spec, start.origin, evaluator, runtime, print),
        grad_clip=optim.grad_clip,
        flops_per_token=model.flops_per_token(data.block_size),
    )


def build_runtime(settings: TrainRuntimeConfig) -> Runtime:
    """Device, number format and threads of a training."""
    return resolve(settings.device, settings.dtype, deterministic=settings.deterministic, threads=settings.threads)


def build_evaluator(config: ExperimentConfig, dataset: Dataset) -> Evaluator:
    """Measures models as training does: in windows of `block_size`, the first `eval_iters` of them or all."""
    block_size = config.train.data.block_size
    return _evaluator(dataset, context=block_size, max_tokens=config.train.runtime.eval_iters * block_size)


def build_exact_evaluator(settings: EvaluateConfig, dataset: Dataset) -> Evaluator:
    """Measures models on the whole validation text, in windows as `[evaluate]` says."""
    return _evaluator(dataset, context=settings.context, stride=settings.stride)


def _evaluator(dataset: Dataset, *, context: int, stride: int | None = None, max_tokens: int = 0) -> Evaluator:
    return Evaluator(
        dataset.val,
        text_bytes=dataset.manifest.val.bytes,
        vocab_size=dataset.tokenizer.vocab_size,
        context=context,
        stride=stride,
        max_tokens=max_tokens,
    )
