"""Ways in which a user can get it wrong. Each arranges one on a trained project and runs the command that meets it.

The messages that they must give stand in the table of `docs/LOG.md`.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ml_playground.data import sources
from ml_playground.run_directory import RunDirectory
from ml_playground.telemetry import Telemetry
from ml_playground.training.trainer import Trainer
from tests.full_disk import full_disk
from tests.integration.finetuning import fine_tuning
from tests.project import TEXT, Outcome, Project

NANOGPT = Path(__file__).parents[1] / "unit" / "pretrained" / "nanogpt_run"

Mistake = Callable[[Project, pytest.MonkeyPatch], Outcome]
MISTAKES: dict[str, Mistake] = {}


def mistake(name: str) -> Callable[[Mistake], Mistake]:
    """Add a way to get it wrong, under the name that it has in the table."""

    def add(arrange: Mistake) -> Mistake:
        assert name not in MISTAKES
        MISTAKES[name] = arrange
        return arrange

    return add


def configured(name: str, changes: dict[str, str], verb: str = "train") -> None:
    """A mistake that is some options' values."""

    @mistake(name)
    def arrange(project: Project, _: pytest.MonkeyPatch) -> Outcome:
        project.configure(changes)
        return project.run(verb)


configured("a misspelt key", {"train.data.batch_sise": "3"})
configured("a misspelt section", {"trian.data.batch_size": "3"})
configured("a key in another section's table", {"train.model.learning_rate": "1e-3"})
configured("a number in quotes", {"train.data.batch_size": '"12"'})
configured("a value out of its range", {"train.model.dropout": "1.0"})
configured("a choice that there is not", {"train.data.sampler": '"sequental"'})
configured("heads that do not divide the width", {"train.model.n_head": "3"})
configured("batches longer than the model's context", {"train.model.block_size": "4"})
configured("a warm-up longer than the training", {"train.schedule.warmup_iters": "7"})
configured(
    "several mistakes at once", {"train.data.batch_size": "0", "train.model.n_head": "3", "prepare.encodng": '"x"'}
)
configured("changed settings of the data", {"prepare.val_fraction": "0.2"})
configured("no text where it should be", {"prepare.raw_dir": '"tiny/texts"'}, "prepare")
configured("a character that the model never saw", {"sample.sample.start": '"the café"'}, "sample")
configured("an empty prompt without documents", {"sample.sample.start": '""'}, "sample")
configured("a prompt file that is not there", {"sample.sample.start": '"FILE:prompt.txt"'}, "sample")
configured("a run directory that was never trained in", {"sample.runtime.out_dir": '"tiny/out/other"'}, "sample")
configured("a run directory that is a file", {"train.runtime.out_dir": '"tiny/raw/input.txt"'})


configured("exporting what was never trained", {"sample.runtime.out_dir": '"tiny/out/other"'}, "export")
configured("exporting nothing", {"export.hf.enabled": "false", "export.gguf.enabled": "false"}, "export")
configured("a number format that there is not", {"export.gguf.dtype": '"q4"'}, "export")
configured("a folder that holds no model", {"export.hf.source": '"tiny"'}, "export")
configured("a converter that is not there", {"export.ollama.convert_bin": '"llama.cpp"'}, "export")
configured("a quantizer that is not there", {"export.ollama.quant_bin": '"llama-quantize"'}, "export")
configured(
    "beginning with a model that is not there",
    {"train.model.init_from": '"models/gpt 2"', "train.runtime.out_dir": '"tiny/out/other"'},
)


@mistake("beginning with a model of other tokens")
def other_tokens(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    source = {"train.model.init_from": '"tiny/out/tiny/ckpt_best.pt"', "train.runtime.out_dir": '"tiny/out/other"'}
    project.configure({**source, "prepare.dataset_dir": '"tiny/letters"'})
    project.text.write_text("other letters, in 12 words\n" * 50)
    project.ok("prepare")
    return project.run("train")


@mistake("a model that no other program has")
def no_class(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"train.model.kind": '"modern"', "train.runtime.out_dir": '"tiny/out/modern"'})
    project.ok("train")
    return project.run("export")


@mistake("a device that this machine lacks")
def no_device(project: Project, patch: pytest.MonkeyPatch) -> Outcome:
    patch.setattr("ml_playground.config.devices.sys.platform", "linux")
    project.configure({"train.runtime.device": '"mps"'})
    return project.run("train")


@mistake("a model that does not fit into memory")
def no_memory(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"train.model.n_embd": "4000000", "train.runtime.out_dir": '"tiny/out/huge"'})
    return project.run("train")


@mistake("a configuration that is no TOML")
def no_toml(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.preset("broken", "[train.data]\nbatch_size 3\n"))


@mistake("a configuration in another encoding")
def config_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.preset("latin", "")
    path.write_bytes("# größer\n".encode("latin-1"))
    return project.run("train", path)


@mistake("a configuration that is not there")
def no_config(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.folder / "confg.toml")


@mistake("extending a file that is not there")
def no_base(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.preset("wide", 'extends = "confg.toml"\n'))


@mistake("extending in a circle")
def circle(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.preset("a", 'extends = "b.toml"\n')
    return project.run("train", project.preset("b", 'extends = "a.toml"\n'))


@mistake("an experiment that there is not")
def no_experiment(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.folder = Path("shakespear_char")
    return project.run("train")


@mistake("training before preparing")
def not_prepared(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    shutil.rmtree(project.datasets)
    return project.run("train")


@mistake("text that changed since it was prepared")
def text_changed(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text(TEXT + "one more\n")
    return project.run("train")


@mistake("other data under an old run")
def other_data(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text(TEXT + "one more\n")
    project.ok("prepare")
    return project.run("train")


@mistake("text shorter than a block")
def short_text(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("too short\n")
    project.configure({"train.data.block_size": "64", "train.runtime.out_dir": '"tiny/out/short"'})
    project.ok("prepare")
    return project.run("train")


@mistake("text too short to split")
def no_split(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text("x")
    return project.run("prepare")


@mistake("a token file cut short")
def cut_tokens(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.datasets / "train.bin"
    path.write_bytes(path.read_bytes()[:-100])
    return project.run("train")


@mistake("data from a newer version")
def newer_data(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    (project.datasets / "meta.json").write_text('{"format": 3}')
    return project.run("train")


@mistake("no network for a download")
def no_network(project: Project, patch: pytest.MonkeyPatch) -> Outcome:
    unreachable = sources.Download("texts/a.txt", "http://127.0.0.1:9/a.txt", "0123456789abcdef" * 4)
    patch.setattr("pooch.core.time.sleep", lambda _: None)  # the pause between two attempts
    patch.setattr(sources, "TINY_SHAKESPEARE", unreachable)
    patch.setenv("ML_PLAYGROUND_CACHE", str(project.root / "cache"))
    preparer = (project.folder / "prepare.py").read_text()
    preparer = preparer.replace("import find_texts", "import TINY_SHAKESPEARE, fetch")
    (project.folder / "prepare.py").write_text(
        preparer.replace("find_texts(config.raw_dir)", "[fetch(TINY_SHAKESPEARE)]")
    )
    return project.run("prepare")


@mistake("Windows-1252 read as UTF-8")
def wrong_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_bytes("Grüße aus Köln\n".encode("cp1252"))
    return project.run("prepare")


@mistake("bytes that are no text")
def no_text(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_bytes(b"GIF89a\x81\x8d")
    project.configure({"prepare.encoding": '"auto"'})
    return project.run("prepare")


@mistake("an encoding that there is not")
def no_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"prepare.encoding": '"windows1252x"'})
    return project.run("prepare")


@mistake("a disk that is full when a checkpoint is saved")
def disk_full(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"train.runtime.max_iters": "8"})
    with full_disk(20_000):
        return project.run("train")


@mistake("a disk that is full when data is prepared")
def disk_full_of_data(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text(TEXT * 10)
    with full_disk(5_000):
        return project.run("prepare")


@mistake("a last checkpoint cut short")
def cut_checkpoint(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.out / "ckpt_last.pt"
    path.write_bytes(path.read_bytes()[:-1000])
    return project.run("train")


@mistake("a best checkpoint with a flipped bit")
def flipped_checkpoint(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.out / "ckpt_best.pt"
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(flipped)
    return project.run("sample")


@mistake("a second trainer in the same run directory")
def second_trainer(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    with RunDirectory(project.out).lock():
        return project.run("train")


@mistake("a checkpoint from a newer version")
def newer_checkpoint(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    torch.save({"format": 4}, project.out / "ckpt_last.pt")
    return project.run("train")


@mistake("a stranger's checkpoint with code in it")
def trapped_checkpoint(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    torch.save({"model": Trap()}, project.out / "ckpt_best.pt")
    return project.run("sample")


class Trap:
    """Unpickling this would create a file."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("trapped", "w")


@mistake("a nanoGPT checkpoint without its vocabulary")
def no_vocabulary(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    shutil.rmtree(project.out)
    project.out.mkdir()
    shutil.copy(NANOGPT / "ckpt.pt", project.out)
    return project.run("sample")


@mistake("a learning rate far too high")
def diverged(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure(
        {
            "train.optim.learning_rate": "1e30",
            "train.runtime.out_dir": '"tiny/out/wild"',
            "train.schedule.decay_lr": "false",
        }
    )
    return project.run("train")


configured("adapters without a model to put them in", {"train.peft.r": "4"})
configured("tokens for structure without documents that have any", {"prepare.add_structure_tokens": "true"}, "prepare")


@mistake("a table without a column of text")
def textless_table(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.with_name("speeches.csv").write_text("Redner,Partei,Worte\nA,B,C\n")
    project.configure({"prepare.raw_dir": '"tiny/raw/speeches.csv"', "prepare.documents": '"files"'})
    return project.run("prepare")


def fine_tuning_with(name: str, changes: dict[str, str], verb: str) -> None:
    """A mistake in going on with a model of Hugging Face's format."""

    @mistake(name)
    def arrange(project: Project, _: pytest.MonkeyPatch) -> Outcome:
        places = {"train.runtime.out_dir": '"tiny/out/tuned"', "prepare.dataset_dir": '"tiny/tuned"'}
        fine_tuning(project, "qwen2").configure(places)
        if verb != "prepare":
            project.ok("prepare")
        project.configure(changes)
        return project.run(verb)


fine_tuning_with("a model of ours beside the one to fine-tune", {"train.model.n_layer": "2"}, "prepare")
fine_tuning_with("fine-tuning in tokens that the model does not know", {"prepare.tokenizer": '"gpt2"'}, "prepare")
fine_tuning_with("a layer that the model lacks", {"train.peft.target_modules": '["q_prj"]'}, "train")
fine_tuning_with("a context beyond the model's", {"train.hf_model.block_size": "128"}, "train")
fine_tuning_with("quantized weights on a CPU", {"train.hf_model.quantization": '"4bit"'}, "train")
fine_tuning_with("merging before there is anything", {"sample.sample.top_k": "1"}, "merge")
fine_tuning_with("a base model that is not there", {"train.hf_model.model_name": '"my models/qwen"'}, "prepare")


def signalled(name: str, verb: str, signum: signal.Signals) -> None:
    """A signal that arrives in the middle of a command."""

    @mistake(name)
    def arrange(project: Project, patch: pytest.MonkeyPatch) -> Outcome:
        step, draw = Trainer.step, torch.multinomial

        def interrupted_step(self: Trainer, telemetry: Telemetry) -> None:
            os.kill(os.getpid(), signum)
            step(self, telemetry)

        def interrupted_draw(*arguments: object, **options: object) -> torch.Tensor:
            os.kill(os.getpid(), signum)
            return draw(*arguments, **options)  # type: ignore[arg-type] # passed on as they came

        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background starts without
        patch.setattr(Trainer, "step", interrupted_step)
        patch.setattr(torch, "multinomial", interrupted_draw)
        project.configure({"train.runtime.max_iters": "9"})
        return project.run(verb)


signalled("Ctrl-C while training", "train", signal.SIGINT)
signalled("SIGTERM while training", "train", signal.SIGTERM)
signalled("Ctrl-C while sampling", "sample", signal.SIGINT)
