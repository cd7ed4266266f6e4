"""Mistakes in TOML files and on the command line."""

import os
from pathlib import Path

import pytest

from tests.acceptance.mistakes.collection import configured, mistake
from tests.project import Outcome, Project

configured("a misspelt key", {"train.data.batch_sise": "3"})
configured("a misspelt section", {"trian.data.batch_size": "3"})
configured("a key in another section's table", {"train.model.learning_rate": "1e-3"})
configured("a number in quotes", {"train.data.batch_size": '"12"'})
configured("a value out of its range", {"train.model.dropout": "1.0"})
configured("an unknown choice", {"train.data.sampler": '"sequental"'})
configured("heads that do not divide the width", {"train.model.n_head": "3"})
configured("batches longer than the model's context", {"train.model.block_size": "4"})
configured("a warm-up longer than the training", {"train.schedule.warmup_iters": "7"})
configured(
    "several mistakes at once", {"train.data.batch_size": "0", "train.model.n_head": "3", "prepare.encodng": '"x"'}
)
configured("an unknown number format", {"export.gguf.dtype": '"q4"'}, "export")


@mistake("a device that this machine lacks")
def no_device(project: Project, patch: pytest.MonkeyPatch) -> Outcome:
    patch.setattr("ml_playground.config.devices.sys.platform", "linux")
    project.configure({"train.runtime.device": '"mps"'})
    return project.run("train")


@mistake("invalid TOML")
def no_toml(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.preset("broken", "[train.data]\nbatch_size 3\n"))


@mistake("a configuration in another encoding")
def config_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    path = project.preset("latin", "")
    path.write_bytes("# größer\n".encode("latin-1"))
    return project.run("train", path)


@mistake("a missing configuration")
def no_config(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.folder / "confg.toml")


@mistake("extending a missing file")
def no_base(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.preset("wide", 'extends = "confg.toml"\n'))


@mistake("extending in a circle")
def circle(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.preset("a", 'extends = "b.toml"\n')
    return project.run("train", project.preset("b", 'extends = "a.toml"\n'))


@mistake("an unknown experiment")
def no_experiment(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.folder = Path("shakespear_char")
    return project.run("train")


@mistake("an unknown encoding")
def no_encoding(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"prepare.encoding": '"windows1252x"'})
    return project.run("prepare")


@mistake("a preset that extends nothing")
def no_extends(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.preset("wide", "[train.model]\nn_embd = 32\n"))


@mistake("a TOML file in place of an experiment")
def file_as_experiment(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.folder = project.preset("wide", 'extends = "config.toml"\n').relative_to(project.root)
    return project.run("train")


@mistake("a configuration that is a pipe")
def pipe(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    os.mkfifo(project.root / "pipe")
    return project.run("train", project.root / "pipe")


@mistake("a configuration nested a thousand deep")
def deep(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", project.preset("deep", f'extends = "config.toml"\na = {"[" * 1000}{"]" * 1000}\n'))


configured("an environment variable that is not set", {"prepare.raw_dir": '"$NO_SUCH_FOLDER/texts"'}, "prepare")
configured("an unknown home directory", {"train.runtime.out_dir": '"~nobody-of-that-name/run"'})
configured("an option by the name that it has elsewhere", {"train.optim.lr": "1e-3"})
configured("an option that is a choice here", {"train.model.rotary": "true"})
configured("a device by another name", {"train.runtime.device": '"gpu"'})
configured("an integer of more than 64 bits", {"train.runtime.seed": "99999999999999999999"})
configured("adapters without a model to put them in", {"train.peft.r": "4"})
configured("tokens for structure without documents that have any", {"prepare.add_structure_tokens": "true"}, "prepare")


def _sweep(project: Project, text: str) -> Path:
    return project.preset("sweep", f'extends = "config.toml"\n[sweep]\n{text}')


@mistake("mistakes in two arms of a sweep")
def arms(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    text = 'seeds = [1]\n[sweep.arms]\nrope = { train.model.position = "rop" }\nodd = { train.model.n_head = 3 }\n'
    return project.run("sweep", _sweep(project, text))


@mistake("a sweep without seeds")
def no_seeds(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("sweep", _sweep(project, "arms.small = { train.model.n_embd = 8 }\n"))


@mistake("a sweep of a file that describes none")
def no_sweep(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("sweep")


@mistake("training a sweep as if it were a run")
def train_sweep(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    return project.run("train", _sweep(project, "seeds = [1]\n"))
