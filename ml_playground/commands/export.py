"""Write the best model for other programs."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import open_dataset
from ml_playground.errors import DamagedFolderError, ExportError
from ml_playground.experiments import Experiment
from ml_playground.inference.load import best_weights_hash, load_trained, no_checkpoint_error
from ml_playground.interop.card import model_card
from ml_playground.interop.exportable import Exportable, ExportableFolder, ExportableModel
from ml_playground.interop.llama_cpp import quantize, require_programs
from ml_playground.interop.ollama import name_in_ollama
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.run.finetuned import MergeInfo
from ml_playground.run.toml_file import other_file_warning
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.checksums import verify_checksums
from ml_playground.utils.files import current
from ml_playground.utils.hub import verify_folder
from ml_playground.utils.paths import display_path

_SHOWN_TOKENS = 4  # of validation text, in a model card


@memory_errors_explained()
def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Write the best model of the run, or the folder in `[export.hf] source`, for other programs.

    A fine-tuned model is what `merge` wrote.

    Raises:
        ExportError: they have no such model, or compute something else.
    """
    hf, gguf, ollama = config.export.hf, config.export.gguf, config.export.ollama
    if not (hf.enabled or gguf.enabled or ollama.enabled):
        raise ExportError("[export.hf], [export.gguf] and [export.ollama] are all turned off: there is nothing to do.")
    sections = [section for section in (gguf, ollama) if section.enabled]
    require_programs([section.convert_bin for section in sections], ollama.quant_bin if ollama.enabled else None)
    run = RunDirectory(config.sample.runtime.out_dir)
    if hf.source is None and not run.path.is_dir():
        raise no_checkpoint_error(run)
    if (warning := other_file_warning(run, config.train.runtime.out_dir, config.file)) is not None:
        print(f"! {warning}", file=sys.stderr)
    is_merged = hf.source is None and spec_of(config.train, config.file.root).merges
    # A merged model must not be replaced while it is read.
    with run.lock("export"), run.lock("merge") if is_merged else nullcontext():
        _export(config, run, _merged(config, run) if is_merged else hf.source)


def _export(config: ExperimentConfig, run: RunDirectory, folder: Path | None) -> None:
    """Write the model in `folder`, or the best of the run where there is none."""
    gguf, ollama = config.export.gguf, config.export.ollama
    if config.export.hf.source is not None:
        verify_folder(config.export.hf.source)
    source = _export_folder(config, run) if folder is None else ExportableFolder.open(folder)
    if folder is not None:
        print(f"{display_path(folder)}: is in Hugging Face's format already")
    model_file = run.gguf(gguf.dtype)
    if gguf.enabled:
        source.write_gguf(model_file, gguf.dtype, gguf.convert_bin)
        print(f"{display_path(model_file)}: for llama.cpp")
    if ollama.enabled:
        _export_ollama(config, run, source, model_file)


def _merged(config: ExperimentConfig, run: RunDirectory) -> Path:
    """The folder of a fine-tuned model, if it is of the run's best adapters.

    Raises:
        ExportError: it is not.
    """
    info = MergeInfo.read(run)
    try:
        verify_checksums(current(run.merged))
    except DamagedFolderError as error:
        if info is not None:
            raise ExportError(f"{error}. Run 'merge' again.") from error
    if info is None:
        raise ExportError(f"{run.merged} is missing. Run 'merge' first.")
    if info.source.weights != best_weights_hash(run, spec_of(config.train, config.file.root)):
        raise ExportError(f"{run.merged} was made from other weights than the best ones now. Run 'merge' again.")
    return current(run.merged)


def _export_folder(config: ExperimentConfig, run: RunDirectory) -> ExportableModel:
    """Write the best model of the run in Hugging Face's format, if that is wanted; what else is to be written of it."""
    hf, gguf, ollama = config.export.hf, config.export.gguf, config.export.ollama
    trained = load_trained(run, spec_of(config.train, config.file.root))
    for warning in trained.warnings:
        print(warning, file=sys.stderr)
    print(f"exporting {display_path(trained.path)} ({trained.progress_line})")
    source = ExportableModel(trained.model, trained.tokenizer, run.huggingface)
    source.check_gguf(section.convert_bin for section in (gguf, ollama) if section.enabled)
    if hf.enabled:
        dataset = open_dataset(config.train.data.dataset_dir, config.prepare)
        if trained.data not in (None, dataset.manifest.fingerprint):
            raise ExportError(
                "the model was trained on different data than is prepared now, so that the export cannot be checked. "
                "Prepare the old data again, or set [export.hf] enabled = false."
            )
        card = model_card(
            run.path.name,
            parameters=trained.model.num_parameters(),
            context=trained.model.block_size,
            progress_line=trained.progress_line,
            prompt=source.end or trained.tokenizer.decode(dataset.val[:_SHOWN_TOKENS].tolist()),
            start=source.end,
            manifest=dataset.manifest,
            origin=trained.origin,
        )
        difference = source.write_folder(sampling=config.sample.sample, dataset=dataset, card=card)
        print(f"{display_path(run.huggingface)}: Transformers computes the same logits to within {difference:.1e}")
    return source


def _export_ollama(config: ExperimentConfig, run: RunDirectory, source: Exportable, model_file: Path) -> None:
    """Write what Ollama needs beside `model_file`, and print what to do with it."""
    gguf, ollama = config.export.gguf, config.export.ollama
    if ollama.convert_bin != gguf.convert_bin:
        model_file = run.gguf(f"{gguf.dtype}-ollama")
        source.write_gguf(model_file, gguf.dtype, ollama.convert_bin)
    if ollama.quant_bin is not None:
        kind = ollama.quantization or "Q4_K_M"
        whole, model_file = model_file, run.gguf(f"{kind.lower()}-ollama")
        quantize(whole, model_file, program=ollama.quant_bin, kind=kind)
    source.write_modelfile(run.modelfile, model_file, config.sample.sample)
    name = name_in_ollama(run.path.name)
    print(f"{display_path(run.modelfile)}: for Ollama. To create the model and run it:")
    print(f"  ollama create {name} -f {shlex.quote(display_path(run.modelfile))}\n  ollama run {name}")
