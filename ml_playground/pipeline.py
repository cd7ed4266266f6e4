"""The story of each verb.

Preparing is `experiments.prepare`, which needs none of the heavy imports here; exporting is `exporting.export`, whose
imports are heavier still.
"""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import torch

from ml_playground import experiments
from ml_playground.assembly import build_evaluator, build_trainer, fresh_start, merge_best, origin_of
from ml_playground.checkpoint import Checkpoint, CheckpointStore, load
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.config.files import shown
from ml_playground.config.sections import TrainRuntimeConfig
from ml_playground.config.tables import is_table
from ml_playground.data.store import Dataset, open_dataset
from ml_playground.errors import CheckpointError, DivergedError, PlaygroundError, StoppedBySignalError
from ml_playground.evaluation import Evaluation, Evaluator
from ml_playground.files import unused_name, write_json
from ml_playground.inference.generate import decode_stream, generate, prefill, texts_of
from ml_playground.inference.load import load_trained
from ml_playground.inference.prompt import encode_prompt, read_prompt
from ml_playground.models import LanguageModel, quantize
from ml_playground.progress import Progress
from ml_playground.run_directory import RunDirectory
from ml_playground.runtime import (
    Runtime,
    compiled,
    memory_errors_explained,
    mix_seed,
    peak_memory,
    resolve,
    use_threads,
)
from ml_playground.telemetry import Telemetry
from ml_playground.telemetry.samples import RULE, SampleWriter
from ml_playground.training.plan import (
    Plan,
    schedule_warnings,
    state_bytes,
    time_steps,
    warnings,
)
from ml_playground.training.resume import agree, file_name, report_other_file, report_rounding, require_same_file
from ml_playground.training.trainer import Trainer

Status = Literal["running", "finished", "stopped", "diverged", "failed"]

_TIMED_STEPS = 5  # by `plan`
_TIMED_TOKENS = 2**14


def loop(experiment: experiments.Experiment, config: ExperimentConfig, root: Path) -> None:
    """Prepare, train, sample."""
    experiments.prepare(experiment, config.prepare)
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    encode_prompt(read_prompt(config.sample.sample.start), dataset.tokenizer)  # a bad one is told before the training
    train(config, root, dataset)
    sample(config)


@memory_errors_explained()
def train(config: ExperimentConfig, root: Path, dataset: Dataset | None = None) -> None:
    """Train to the last step, resuming from `ckpt_last.pt` where there is one.

    Args:
        config: what to train, on what, how.
        root: folder that the paths in what is written count from.
        dataset: the data, if it is open already.

    Raises:
        StoppedBySignalError: a signal ended it; everything is saved.
    """
    settings = config.train.runtime
    run = RunDirectory(settings.out_dir)
    require_same_file(run, config.file)
    if settings.eval_only:
        print(_evaluate_only(config, run, root))
        return
    with run.lock():
        dataset = dataset or open_dataset(config.train.data.dataset_dir, config.prepare)
        runtime = _runtime(settings)
        store = CheckpointStore(run, keep_last_n=settings.keep_last_n)
        checkpoint = store.resume()
        nanogpt = run.nanogpt_checkpoint
        if nanogpt.exists() and config.train.model.init_from != str(nanogpt):
            print(
                f"! {shown(nanogpt)}, a checkpoint of nanoGPT, is not resumed. To start from its weights: "
                f'[train.model] init_from = "{shown(nanogpt)}" (docs/from_nanogpt.md)'
            )
        try:
            trainer = _ready_trainer(config, dataset, runtime, store, checkpoint, root)
        except PlaygroundError:  # nothing has begun
            raise
        except Exception:
            if run.summary.exists():  # of a start before, which may have finished
                _summarise(run, Progress() if checkpoint is None else Progress(**checkpoint.progress), "failed")
            raise
        _record_start(run, trainer, file_name(run, config.file))
        _summarise(run, trainer.progress, "running")
        trained, all_of_them = trainer.model.num_parameters(), sum(each.numel() for each in trainer.model.parameters())
        count = f"{trained:,}" if trained == all_of_them else f"{trained:,} of {all_of_them:,}"
        print(f"training {count} parameters on {runtime.device} in {settings.dtype}", end=", ")
        is_new = config.train.hf_model.model_name is None and config.train.model.init_from is None
        begun = "from scratch" if is_new else "from the weights of another model"
        print(f"resuming from step {trainer.progress.step:,}" if checkpoint else begun)
        for warning in schedule_warnings(config.train.schedule, max_iters=settings.max_iters):
            print(f"! {warning}")
        resumed_at = None if checkpoint is None else trainer.progress.step
        status: Status = "failed"
        try:
            with Telemetry(
                run,
                resumed_at=resumed_at,
                evaluated=trainer.progress.evaluated_at == resumed_at,
                max_iters=settings.max_iters,
                val_loss=trainer.progress.val_loss,
            ) as telemetry:
                stopped_by = trainer.fit(telemetry)
            status = "finished" if trainer.finished else "stopped"
        except DivergedError:
            status = "diverged"
            raise
        except KeyboardInterrupt:
            status = "stopped"
            raise
        finally:
            _summarise(run, trainer.progress, status)
    print(f"{trainer.progress.step:,} of {settings.max_iters:,} steps done, saved in {shown(run.path)}")
    if trainer.stopped_early:
        print(f"stopped early: {settings.early_stop_patience} evaluations without improvement")
    if trainer.progress.best_step >= 0:
        print(f"best validation loss {trainer.progress.best_val_loss:.4f}, at step {trainer.progress.best_step:,}")
    if trainer.best_is_of_an_earlier_run:
        with_adapters = ", and so is adapters/best" if run.adapters("best").exists() else ""
        print(
            f"ckpt_best.pt, which sample takes, is of an earlier run and better{with_adapters}; "
            "move it away to sample from this one"
        )
    if stopped_by is not None:
        raise StoppedBySignalError(f"stopped by {stopped_by.name}; the same command resumes from here", stopped_by)


@memory_errors_explained()
def sample(config: ExperimentConfig) -> None:
    """Generate texts with the best model of the run, printing them as they come.

    They go to a file of their own in `samples/` too, and with what made them to `samples.jsonl`.
    """
    settings, wanted = config.sample.runtime, config.sample.sample
    run = RunDirectory(settings.out_dir)
    report_other_file(run, config.train.runtime.out_dir, config.file)
    runtime = resolve(settings.device, settings.dtype, threads=settings.threads)
    text = read_prompt(wanted.start)
    trained = load_trained(run, config.train.source)
    prompt = encode_prompt(text, trained.tokenizer)
    if len(prompt) > trained.model.block_size:
        seen = trained.model.block_size
        print(f"! the prompt has {len(prompt):,} tokens, of which the model sees the last {seen:,}", file=sys.stderr)
    if settings.dtype == "int8":
        quantize(trained.model)
    model = trained.model.to(runtime.device).eval()
    model.convert(runtime.dtype)  # half the bytes to read per token
    if settings.compile:
        model.extend = compiled(model.extend, runtime)  # type: ignore[method-assign]  # of this one model
    print(f"sampling from {shown(trained.path)} ({trained.standing})", file=sys.stderr)
    keep = SampleWriter(run, datetime.now(UTC))
    # Of one group of texts the prompt is read once anyway.
    prefilled = prefill(model, prompt, runtime) if wanted.num_samples > wanted.batch_size else None
    for first in range(0, wanted.num_samples, wanted.batch_size):
        indices = range(first, min(first + wanted.batch_size, wanted.num_samples))
        seeds = [mix_seed(settings.seed, index) for index in indices]
        steps = generate(model, prompt, trained.tokenizer, wanted, runtime=runtime, seeds=seeds, prefilled=prefilled)
        for index, tokens in zip(indices, texts_of(steps, len(seeds)), strict=True):
            print(text, end="")
            row = {
                "time": _now(),
                "checkpoint": trained.path.name,
                "step": trained.step,
                "seed": settings.seed,
                "index": index,
                "prompt": text,
                "text": _print_as_it_comes(decode_stream(trained.tokenizer, tokens)),
                **wanted.model_dump(exclude={"start", "num_samples", "batch_size"}),
            }
            print(f"\n{RULE}")
            keep(row)


@memory_errors_explained()
def merge(config: ExperimentConfig) -> None:
    """Write the best fine-tuned model of the run as a folder that needs no adapters: `merged/`."""
    run = RunDirectory(config.sample.runtime.out_dir)
    if config.train.hf_model.model_name is None:
        raise CheckpointError("[train.hf_model] model_name is not stated: there is nothing to merge. See 'export'.")
    report_other_file(run, config.train.runtime.out_dir, config.file)
    merge_best(config, open_dataset(config.train.data.dataset_dir, config.prepare), run)


@memory_errors_explained()
def plan(config: ExperimentConfig, root: Path) -> None:
    """Print what the training would take, from a few timed steps whose results are thrown away."""
    data, settings = config.train.data, config.train.runtime
    dataset = open_dataset(data.dataset_dir, config.prepare)
    runtime = _runtime(settings)
    with TemporaryDirectory() as scratch:
        store = CheckpointStore(RunDirectory(Path(scratch)), keep_last_n=0)
        trainer = build_trainer(config, dataset, runtime, store, *fresh_start(config, dataset, root))
    step_seconds = time_steps(trainer, _TIMED_STEPS)
    peak_bytes = peak_memory(runtime.device)
    threads = torch.get_num_threads() if runtime.device.type == "cpu" else 1
    one_thread_seconds = None
    if threads > 1:
        use_threads(1)
        one_thread_seconds = time_steps(trainer, _TIMED_STEPS)
        use_threads(threads)
    planned = Plan(
        parameters=trainer.model.num_parameters(),
        all_parameters=sum(each.numel() for each in trainer.model.parameters()),
        flops_per_token=trainer.model.flops_per_token(data.block_size),
        model_bytes=state_bytes(trainer),
        peak_bytes=peak_bytes,
        tokens_per_step=data.batch_size * data.grad_accum_steps * data.block_size,
        train_tokens=len(dataset.train),
        steps=settings.max_iters,
        evaluations=1 + -(-settings.max_iters // settings.eval_interval),
        step_seconds=step_seconds,
        threads=threads,
        one_thread_seconds=one_thread_seconds,
        evaluation_seconds=_evaluation_seconds(config, dataset, trainer.model, runtime),
    )
    print("\n".join(planned.lines()))
    for warning in warnings(planned, config.train.schedule, max_iters=settings.max_iters):
        print(f"! {warning}")


def _evaluation_seconds(config: ExperimentConfig, dataset: Dataset, model: LanguageModel, runtime: Runtime) -> float:
    """How long an evaluation takes, from one of its first windows only."""
    size, windows = config.train.data.block_size, config.train.runtime.eval_iters
    all_windows = -(-(len(dataset.val) - 1) // size)
    wanted = min(windows or all_windows, all_windows)
    few = min(wanted, max(1, _TIMED_TOKENS // size))
    evaluator = Evaluator(dataset.val, dataset.tokenizer.byte_lengths(), block_size=size, max_windows=few)
    evaluator(model, runtime)  # the first time may be that of compiling
    began = time.perf_counter()
    evaluator(model, runtime)
    return (time.perf_counter() - began) * wanted / few


def _runtime(settings: TrainRuntimeConfig) -> Runtime:
    return resolve(settings.device, settings.dtype, deterministic=settings.deterministic, threads=settings.threads)


def _evaluate_only(config: ExperimentConfig, run: RunDirectory, root: Path) -> Evaluation | None:
    """Evaluate `ckpt_last.pt` and write nothing."""
    settings = config.train.runtime
    dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
    runtime = _runtime(settings)
    checkpoint = load(run.last_checkpoint)
    agree(checkpoint, origin_of(config, dataset, root))
    checkpoint.origin.check_source(config.train.source, run.last_checkpoint.name)
    return build_evaluator(config, dataset)(checkpoint.trained_model(config.train.source).to(runtime.device), runtime)


def _ready_trainer(
    config: ExperimentConfig,
    dataset: Dataset,
    runtime: Runtime,
    store: CheckpointStore,
    checkpoint: Checkpoint | None,
    root: Path,
) -> Trainer:
    """The trainer at the step of `checkpoint`, or of a new run where that is None."""
    if checkpoint is None:
        return build_trainer(config, dataset, runtime, store, *fresh_start(config, dataset, root))
    checkpoint.origin.check_source(config.train.source, store.run.last_checkpoint.name)
    trainer = build_trainer(config, dataset, runtime, store, agree(checkpoint, origin_of(config, dataset, root)))
    trainer.restore(checkpoint)
    return trainer


def _summarise(run: RunDirectory, progress: Progress, status: Status) -> None:
    """Write how far the run is to `summary.json`. One that is killed stays "running" there."""
    if status == "failed":  # by what may fail here too, such as a full disk or a folder that is gone: that matters more
        with suppress(OSError, PlaygroundError):
            run.require()
            write_json(run.summary, {**progress.as_json(), "status": status})
    else:
        write_json(run.summary, {**progress.as_json(), "status": status})


def _record_start(run: RunDirectory, trainer: Trainer, toml: str | None) -> None:
    """Write what runs, and on what, to `run.json` and `tokenizer/`; a resumed run adds to the list of its starts."""
    start = {"step": trainer.progress.step, "time": _now(), "threads": torch.get_num_threads()}
    earlier: list[object] = []
    if trainer.progress.step:
        earlier = _earlier_starts(run)
    if earlier and is_table(earlier[-1]):
        report_rounding("threads", earlier[-1].get("threads"), start["threads"])
    write_json(run.tokenizer, trainer.origin.tokenizer)
    about = {key: value for key, value in asdict(trainer.origin).items() if key != "tokenizer"}
    write_json(
        run.info, {"toml": toml, **about, "parameters": trainer.model.num_parameters(), "starts": [*earlier, start]}
    )


def _earlier_starts(run: RunDirectory) -> list[object]:
    """The starts in `run.json`; a file that is damaged is set aside, as all else in it is written again."""
    info = run.read_info()
    starts = None if info is None else info.get("starts", [])
    if isinstance(starts, list):
        return cast("list[object]", starts)
    aside = unused_name(run.info)
    run.info.rename(aside)
    print(f"! {run.info.name} is damaged and now {aside.name}; the list of starts begins again", file=sys.stderr)
    return []


def _print_as_it_comes(pieces: Iterable[str]) -> str:
    """Print pieces of text one after the other and return them as one."""
    text = ""
    for piece in pieces:
        print(piece, end="", flush=True)
        text += piece
    return text


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
