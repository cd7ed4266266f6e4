import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from ml_playground.errors import CheckpointError, DamagedCheckpointError, StorageError
from ml_playground.run import sealed
from ml_playground.run.checkpoint import Checkpoint, Provenance, load, load_best, resume, save
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import FORMAT, Progress, load_progress
from ml_playground.run.store import CheckpointStore
from tests.full_disk import full_disk

CONFIG = {
    "train": {
        "data": {"block_size": 8},
        "runtime": {"eval_iters": 0, "dtype": "float32", "ema_decay": 0.0},
        "optim": {"kind": "adamw"},
        "model": {"kind": "gpt2"},
    }
}


def checkpoint(step: int = 1, val_loss: float = 2.0) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(50, 20, generator=generator)
    return Checkpoint(
        model={"a.weight": weight, "tied.weight": weight},
        ema=None,
        optimizer={"state": {0: {"step": torch.tensor(3.0), "exp_avg": weight * 2}}, "param_groups": [{"lr": 0.1}]},
        scaler={},
        progress=Progress(step=step, val_loss=val_loss, best_val_loss=val_loss),
        origin=Provenance({"n_layer": 1}, {"kind": "char", "characters": ["ä"]}, "data", CONFIG, {"torch": "2"}, None),
    )


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        all(torch.equal(one.model[name], other.model[name]) for name in one.model | other.model)
        and torch.equal(one.optimizer["state"][0]["exp_avg"], other.optimizer["state"][0]["exp_avg"])
        and one.progress == other.progress
        and one.origin == other.origin
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ckpt.pt"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.fixture
def store(run: RunDirectory) -> CheckpointStore:
    return CheckpointStore(run, keep_last_n=0, report=print)


def test_a_checkpoint_comes_back_as_it_was(path: Path) -> None:
    save(path, checkpoint())
    assert same(load(path), checkpoint())
    assert [each.name for each in path.parent.iterdir()] == ["ckpt.pt"]


def test_a_checkpoint_explains_itself_to_plain_torch(path: Path) -> None:
    save(path, checkpoint())
    values = torch.load(path, weights_only=True)
    assert values["model_args"] == {"n_layer": 1}
    assert values["tokenizer"]["characters"] == ["ä"]
    assert values["progress"]["step"] == 1
    assert {"model", "optimizer", "data", "config", "versions", "format"} <= values.keys()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, 0.9999])
def test_a_file_cut_short_is_found(path: Path, share: float) -> None:
    save(path, checkpoint())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DamagedCheckpointError, match=r"ckpt\.pt: damaged or cut short"):
        load(path)


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_opening_a_strangers_checkpoint_runs_no_code(path: Path, tmp_path: Path) -> None:
    torch.save({"model": Trap(tmp_path / "trapped")}, path)
    with pytest.raises(CheckpointError, match="it was not opened, as that could run its code"):
        sealed.read(path)
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_of_a_newer_version_says_so_and_is_not_called_damaged(path: Path) -> None:
    torch.save({"format": FORMAT + 1}, path)
    with pytest.raises(CheckpointError, match=f"checkpoint format {FORMAT + 1}, this version reads {FORMAT}") as error:
        load(path)
    assert not isinstance(error.value, DamagedCheckpointError)


@pytest.mark.parametrize("content", [{"format": 1, "model": {}}, {"a": 1}, [1, 2]])
def test_something_else_is_no_checkpoint(path: Path, content: object) -> None:
    torch.save(content, path)
    with pytest.raises(CheckpointError):
        load(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ckpt\.pt: no such checkpoint"):
        load(path)


@pytest.mark.parametrize("room", [0, 1000, 5000])
def test_a_full_disk_leaves_the_old_file_whole_and_no_rest(path: Path, room: int) -> None:
    save(path, checkpoint(1))
    with full_disk(room), pytest.raises(StorageError, match=r"ckpt\.pt: could not be written: File too large"):
        save(path, checkpoint(2))
    assert same(load(path), checkpoint(1))
    assert [each.name for each in path.parent.iterdir()] == ["ckpt.pt"]


def test_the_last_checkpoint_before_this_one_is_kept(run: RunDirectory, store: CheckpointStore) -> None:
    for step in (1, 2, 3):
        store.save(checkpoint(step))
    assert load(run.last_checkpoint).progress.step == 3
    assert load(run.previous_checkpoint).progress.step == 2


def test_a_damaged_last_checkpoint_is_named_and_put_aside_and_the_previous_one_used(
    run: RunDirectory, store: CheckpointStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(checkpoint(1))
    store.save(checkpoint(2))
    damaged = run.last_checkpoint.read_bytes()[:-100]
    run.last_checkpoint.write_bytes(damaged)
    resumed = resume(run, print)
    assert resumed is not None
    assert same(resumed, checkpoint(1))
    said = capsys.readouterr().out
    assert "ckpt_last.pt: damaged" in said
    assert "resuming from ckpt_prev.pt" in said
    assert (run.path / "ckpt_damaged-1.pt").read_bytes() == damaged
    store.save(checkpoint(3))
    assert same(load(run.previous_checkpoint), checkpoint(1))  # not the damaged one


def test_two_damaged_checkpoints_are_both_named(run: RunDirectory, store: CheckpointStore) -> None:
    store.save(checkpoint(1))
    store.save(checkpoint(2))
    run.last_checkpoint.write_bytes(b"x")
    run.previous_checkpoint.write_bytes(b"y")
    with pytest.raises(CheckpointError, match=r"(?s)ckpt_last\.pt: damaged.*ckpt_prev\.pt: damaged.*to start afresh"):
        resume(run, print)
    assert run.last_checkpoint.read_bytes() == b"x"


def test_a_last_checkpoint_of_a_newer_version_is_left_alone(run: RunDirectory, store: CheckpointStore) -> None:
    store.save(checkpoint(1))
    torch.save({"format": FORMAT + 1}, run.last_checkpoint)
    before = run.last_checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match=f"format {FORMAT + 1}"):
        resume(run, print)
    assert run.last_checkpoint.read_bytes() == before


def test_deleting_the_last_checkpoint_starts_afresh_and_keeps_the_previous_one(
    run: RunDirectory, store: CheckpointStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(checkpoint(1))
    store.save(checkpoint(2))
    run.last_checkpoint.unlink()
    assert resume(run, print) is None
    assert same(load(run.previous_checkpoint), checkpoint(1))
    store.save(checkpoint(3))
    store.save(checkpoint(4))
    assert same(load(run.path / "ckpt_prev-1.pt"), checkpoint(1))
    assert "ckpt_prev.pt of an earlier run is now ckpt_prev-1.pt" in capsys.readouterr().out


def test_nothing_is_set_aside_over_something_else(run: RunDirectory, store: CheckpointStore) -> None:
    for step in (1, 2, 3, 4):
        store.save(checkpoint(step))
    assert store.discard_last().name == "ckpt_diverged-1.pt"
    store.save(checkpoint(5))
    assert store.discard_last().name == "ckpt_diverged-2.pt"
    assert same(load(run.path / "ckpt_diverged-1.pt"), checkpoint(4))
    assert same(load(run.path / "ckpt_diverged-2.pt"), checkpoint(5))
    assert same(load(run.last_checkpoint), checkpoint(3))


def test_the_best_checkpoint_tells_what_to_beat(run: RunDirectory, store: CheckpointStore) -> None:
    assert load_best(run, "data", print) is None
    store.save(checkpoint(val_loss=1.5), is_best=True)
    best = load_best(run, "data", print)
    assert best is not None
    assert best.progress.val_loss == 1.5
    with pytest.raises(CheckpointError, match=r"ckpt_best\.pt was trained on different data"):
        load_best(run, "other data", print)
    run.best_checkpoint.write_bytes(b"x")
    assert load_best(run, "data", print) is None


def test_numbered_checkpoints_are_kept_up_to_a_number(run: RunDirectory) -> None:
    store = CheckpointStore(run, keep_last_n=2)
    save(run.numbered_checkpoint(9), checkpoint(9))  # of an earlier run that went further
    for step in (2, 4, 6):
        store.save(checkpoint(step), step=step)
    assert [load(path).progress.step for path in run.numbered_checkpoints()] == [4, 6, 9]


def test_the_same_bytes_are_written_once_and_outlive_each_other(run: RunDirectory, store: CheckpointStore) -> None:
    store.save(checkpoint(1), is_best=True, step=1)
    names = [run.best_checkpoint, run.numbered_checkpoint(1), run.last_checkpoint]
    assert len({path.stat().st_ino for path in names}) == 1
    store.save(checkpoint(2))
    assert same(load(run.best_checkpoint), checkpoint(1))
    assert same(load(run.numbered_checkpoint(1)), checkpoint(1))
    assert same(load(run.last_checkpoint), checkpoint(2))


def test_progress_is_read_without_the_weights(path: Path) -> None:
    save(path, checkpoint(7, val_loss=1.5))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    progress = load_progress(path)
    assert progress is not None
    assert (progress.step, progress.val_loss) == (7, 1.5)
    torch.save({"format": 3}, path)
    assert load_progress(path) is None


def test_a_step_and_a_loss_that_were_never_measured_survive(path: Path) -> None:
    save(path, replace(checkpoint(), progress=Progress()))
    assert load_progress(path) == Progress()


@pytest.mark.parametrize(
    "changes",
    [
        {"progress": {"step": "three"}},
        {"progress": {**asdict(Progress()), "step": 1.0}},
        {"progress": {**asdict(Progress()), "more": 1}},
        {"model": [torch.eye(3)]},
        {"ema": 3},
        {"optimizer": None},
        {"config": {}},
        {"config": {"train": {"data": 3}}},
        {"config": []},
        {"tokenizer": "char"},
        {"model_args": {1: 2}},
    ],
)
def test_values_that_do_not_belong_are_refused(path: Path, changes: dict[str, object]) -> None:
    save(path, checkpoint())
    values, _ = sealed.read(path)
    sealed.write(path, {**values, **changes}, {})
    with pytest.raises(CheckpointError, match="not a checkpoint of ml_playground"):
        load(path)


def test_a_checkpoint_holds_plain_values_only(path: Path) -> None:
    """No class of torch's or numpy's hides among them: what JSON cannot say would be refused on loading."""
    save(path, replace(checkpoint(), ema=None))
    json.dumps({key: value for key, value in sealed.read(path)[0].items() if key not in ("model", "ema", "optimizer")})
