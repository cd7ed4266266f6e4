"""Mistakes and mishaps while a run is trained, resumed or sampled from."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import FORMAT
from ml_playground.run.sinks import Telemetry
from ml_playground.training.trainer import Trainer
from tests.acceptance.mistakes.collection import configured, mistake
from tests.full_disk import full_disk
from tests.project import TEXT, Outcome, Project

NANOGPT = Path(__file__).parents[2] / "unit" / "interop" / "nanogpt_run"


configured("a character that the model never saw", {"sample.sample.start": '"the café"'}, "sample")
configured("an empty prompt without documents", {"sample.sample.start": '""'}, "sample")
configured("a missing prompt file", {"sample.sample.start": '"FILE:prompt.txt"'}, "sample")
configured("a run directory that was never trained in", {"sample.runtime.out_dir": '"tiny/out/other"'}, "sample")
configured("a run directory that is a file", {"train.runtime.out_dir": '"tiny/raw/input.txt"'})
configured("a comparison of a single run", {}, "compare")
configured("a comparison with a folder without runs", {"compare.runs": '["tiny/out/tiny", "tiny/raw"]'}, "compare")
configured("a comparison before the base is trained", {"train.runtime.out_dir": '"tiny/out/other"'}, "compare")


@mistake("a comparison with a run of another format")
def other_format(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    (project.out / "run.json").write_text("{}")
    return project.run("compare")


@mistake("a C++ compiler that does not work")
def broken_compiler(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    compiler = project.root / "g++"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    project.configure({"train.runtime.compile": "true", "train.runtime.out_dir": '"tiny/out/compiled"'})
    # In a process of its own: PyTorch remembers for the rest of a process what it once found out about the compiler.
    ended = subprocess.run(
        [sys.executable, "-m", "ml_playground.cli", "train", str(project.folder)],
        env={**os.environ, "CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(project.root / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


@mistake("other data under an old run")
def other_data(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.text.write_text(TEXT + "one more\n")
    project.ok("prepare")
    return project.run("train")


@mistake("a preset of the same name in another folder")
def same_name(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    presets = [project.root / folder / "wide.toml" for folder in ("a", "b")]
    for preset in presets:
        preset.parent.mkdir()
        preset.write_text('extends = "tiny/config.toml"\n')
    project.ok("train", presets[0])
    return project.run("train", presets[1])


@mistake("a prompt file that is a pipe")
def prompt_pipe(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    os.mkfifo(project.root / "pipe")
    project.configure({"sample.sample.start": '"FILE:pipe"'})
    return project.run("sample")


@mistake("a disk that is full when a checkpoint is saved")
def disk_full(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"train.runtime.max_iters": "8"})
    with full_disk(20_000):
        return project.run("train")


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
    path.unlink()  # which is the same file as ckpt_last.pt
    path.write_bytes(flipped)
    return project.run("sample")


@mistake("a second trainer in the same run directory")
def second_trainer(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    with RunDirectory(project.out).lock():
        return project.run("train")


@mistake("a checkpoint from a newer version")
def newer_checkpoint(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    torch.save({"format": FORMAT + 1}, project.out / "ckpt_last.pt")
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
            "train.schedule.kind": '"constant"',
        }
    )
    return project.run("train")


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
