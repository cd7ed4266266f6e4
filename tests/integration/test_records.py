"""What a training writes of itself, and that it is read without weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_playground.analysis.reference import Reference, reference_path
from ml_playground.errors import RunDirectoryError, StorageError
from ml_playground.run.opened import Run
from ml_playground.run.records import Changed, Commit, RunRecord, Summary
from tests.integration.runs import AtStep, Killed, kill, weights
from tests.integration.test_divergence import spoil
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")

ROOT = Path(__file__).parents[2]
LIST = """
import sys
from pathlib import Path
import ml_playground.commands.describe
from ml_playground.run.opened import Run
from ml_playground.run.directory import RunDirectory

runs = RunDirectory.all_in(Path(sys.argv[1]))
for run in map(Run, runs):
    assert run.record.parameters > 0
    assert run.summary.progress.step == 6
    assert [each.progress.step for each in run.checkpoints() if each.path.name == "ckpt_last.pt"] == [6]
    assert len(run.metrics()) == 10
print(len(runs), "torch" in sys.modules)
"""


def record(project: Project) -> RunRecord:
    found = Run.open(project.out).record
    assert found is not None
    return found


def test_a_start_says_what_changed_since_the_one_before(project: Project) -> None:
    project.ok("train")
    project.configure({"train.runtime.max_iters": "8", "train.optim.learning_rate": "0.5", "train.optim.kind": '"sgd"'})
    project.ok("train")
    project.ok("train")
    first, second, third = record(project).starts
    assert (first.step, second.step, third.step) == (0, 6, 8)
    assert first.changed == third.changed == []
    assert Changed("[train.runtime] max_iters", 6, 8) in second.changed
    assert Changed("[train.optim] learning_rate", 1e-3, 0.5) in second.changed
    assert Changed("[train.optim] beta2", 0.99, None) in second.changed


def test_a_run_that_resumes_at_step_0_keeps_its_earlier_starts(project: Project, at_step: AtStep) -> None:
    at_step(0, kill)
    for _ in range(2):
        with pytest.raises(Killed):
            project.run("train")
    assert [start.step for start in record(project).starts] == [0, 0]


def test_a_record_names_the_machine_and_the_commit_and_whether_the_tree_was_clean(project: Project) -> None:
    project.ok("train")
    assert record(project).commit is None
    assert record(project).machine.device == "cpu"
    assert record(project).machine.memory > 2**20
    git = [str(shutil.which("git")), "-C", str(project.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "tiny/config.toml"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    project.ok("train")
    commit = record(project).starts[-1].commit
    assert commit is not None
    assert len(commit.id) == 40
    assert commit.clean
    project.configure({"train.runtime.max_iters": "7"})
    project.ok("train")
    assert record(project).starts[-1].commit == Commit(commit.id, clean=False)


def test_a_full_disk_does_not_hide_that_a_run_diverged(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep
) -> None:
    write = Summary.write

    def full(self: Summary, path: Path) -> None:
        if self.status != "running":
            raise StorageError("no room")
        write(self, path)

    monkeypatch.setattr(Summary, "write", full)
    at_step(3, lambda: spoil(monkeypatch, "loss"))
    outcome = project.run("train")
    assert outcome.code == 2
    assert "the loss is nan" in outcome.err
    assert "no room" not in outcome.err


@pytest.mark.parametrize("name", ["tokenizer", "logs", "logs/tb"])
def test_a_file_where_a_folder_belongs_is_set_aside(project: Project, name: str) -> None:
    place = project.out / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    said = project.ok("train").err
    assert f"! {place.name} is a file, where a folder of the run belongs; it is now {place.name}-1" in said
    assert place.is_dir()
    assert place.with_name(f"{place.name}-1").read_text() == "mine"
    assert weights(project).progress.step == 6


def test_samples_are_read_as_they_were_written(project: Project) -> None:
    project.ok("train")
    project.ok("sample")
    first, second = Run.open(project.out).samples()
    assert (first.prompt, first.step, first.index, second.index) == ("the", 6, 0, 1)
    assert first.options["temperature"] == 0.8
    rows = [json.loads(line) for line in (project.out / "samples.jsonl").read_text().splitlines()]
    assert rows == [first.as_json(), second.as_json()]


@pytest.mark.parametrize("status", ["lost", 3, None])
def test_a_status_that_there_is_not_is_damage(project: Project, status: object) -> None:
    project.ok("train")
    path = project.out / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": status}))
    with pytest.raises(RunDirectoryError, match=r"summary\.json is damaged"):
        _ = Run.open(project.out).summary


def test_many_runs_are_listed_without_torch_and_without_their_weights(project: Project) -> None:
    project.ok("train")
    for path in project.out.glob("ckpt_*.pt"):  # all but their last 64 KiB, where the header is
        data = path.read_bytes()
        path.write_bytes(bytes(max(0, len(data) - 2**16)) + data[-(2**16) :])
    for number in range(499):
        shutil.copytree(project.out, project.out.with_name(f"copy{number}"), copy_function=os.link)
    listed = subprocess.run(
        [sys.executable, "-c", LIST, str(project.out.parent)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert listed.stdout.split() == ["500", "False"]


def test_a_training_says_whether_its_loss_is_as_expected(project: Project) -> None:
    runs: list[Run] = []
    for seed in range(5):
        out = f"tiny/out/seed-{seed}"
        project.configure({"train.runtime.seed": str(seed), "train.runtime.out_dir": f'"{out}"'})
        assert "as expected" not in project.ok("train").out
        runs.append(Run.open(project.root / out))
    reference = Reference.of(runs)
    reference.write(reference_path(project.config))
    project.configure({"train.runtime.seed": "5", "train.runtime.out_dir": '"tiny/out/seed-5"'})
    assert "the validation loss is " in project.ok("train").out
    project.configure({"train.optim.learning_rate": "0.5", "train.runtime.out_dir": '"tiny/out/fast"'})
    assert "the validation loss is " not in project.ok("train").out
    reference_path(project.config).write_text("{}")
    assert "! tiny/reference.json is damaged" in project.ok("train").out
