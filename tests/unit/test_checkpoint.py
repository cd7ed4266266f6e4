import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ml_playground.checkpoint import Checkpoint, CheckpointStore, Origin, load, load_plain, save
from ml_playground.errors import CheckpointError, DamagedCheckpointError, DiskFullError
from ml_playground.run_directory import RunDirectory
from tests.full_disk import full_disk


def checkpoint(step: int = 1, val_loss: float = 2.0) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(50, 20, generator=generator)
    return Checkpoint(
        model={"a.weight": weight, "tied.weight": weight},
        ema=None,
        optimizer={"state": {0: {"step": torch.tensor(3.0), "exp_avg": weight * 2}}, "param_groups": [{"lr": 0.1}]},
        scaler={},
        progress={"step": step, "val_loss": val_loss, "best_val_loss": val_loss},
        origin=Origin(
            {"n_layer": 1}, {"kind": "char", "characters": ["ä"]}, "data", {"train": {}}, {"torch": "2"}, None
        ),
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
    return CheckpointStore(run, keep_last_n=0)


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


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(path: Path) -> None:
    save(path, checkpoint())
    whole = path.read_bytes()
    found = 0
    for place in range(0, len(whole), 97):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert same(load(path), checkpoint()), place
        except CheckpointError:
            found += 1
    assert found > len(whole) / 97 * 0.8


def test_torch_itself_does_not_find_a_flipped_bit(path: Path) -> None:
    """Why there is a check of ours. If this fails, torch has learnt it and ours can go."""
    save(path, checkpoint())
    flipped = bytearray(path.read_bytes())
    values = checkpoint().model["a.weight"].numpy().tobytes()
    flipped[flipped.index(values) + 100] ^= 1
    path.write_bytes(flipped)
    torch.load(path, weights_only=True)
    with pytest.raises(DamagedCheckpointError, match=r"ckpt\.pt: damaged \(checksum of .* does not match\)"):
        load(path)


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
        load_plain(path)
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_of_a_newer_version_says_so_and_is_not_called_damaged(path: Path) -> None:
    torch.save({"format": 4}, path)
    with pytest.raises(CheckpointError, match="checkpoint format 4, this version reads 3") as error:
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
    with full_disk(room), pytest.raises(DiskFullError, match=r"ckpt\.pt: could not be written: File too large"):
        save(path, checkpoint(2))
    assert same(load(path), checkpoint(1))
    assert [each.name for each in path.parent.iterdir()] == ["ckpt.pt"]


def test_the_last_checkpoint_before_this_one_is_kept(run: RunDirectory, store: CheckpointStore) -> None:
    for step in (1, 2, 3):
        store.save_last(checkpoint(step))
    assert load(run.last_checkpoint).progress["step"] == 3
    assert load(run.previous_checkpoint).progress["step"] == 2


def test_a_damaged_last_checkpoint_is_named_and_put_aside_and_the_previous_one_used(
    run: RunDirectory, store: CheckpointStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save_last(checkpoint(1))
    store.save_last(checkpoint(2))
    damaged = run.last_checkpoint.read_bytes()[:-100]
    run.last_checkpoint.write_bytes(damaged)
    resumed = store.resume()
    assert resumed is not None
    assert same(resumed, checkpoint(1))
    said = capsys.readouterr().out
    assert "ckpt_last.pt: damaged" in said
    assert "going on from ckpt_prev.pt" in said
    assert (run.path / "ckpt_damaged.pt").read_bytes() == damaged
    store.save_last(checkpoint(3))
    assert same(load(run.previous_checkpoint), checkpoint(1))  # not the damaged one


def test_two_damaged_checkpoints_are_both_named(run: RunDirectory, store: CheckpointStore) -> None:
    store.save_last(checkpoint(1))
    store.save_last(checkpoint(2))
    run.last_checkpoint.write_bytes(b"x")
    run.previous_checkpoint.write_bytes(b"y")
    with pytest.raises(CheckpointError, match=r"(?s)ckpt_last\.pt: damaged.*ckpt_prev\.pt: damaged.*to start afresh"):
        store.resume()
    assert run.last_checkpoint.read_bytes() == b"x"


def test_a_last_checkpoint_of_a_newer_version_is_left_alone(run: RunDirectory, store: CheckpointStore) -> None:
    store.save_last(checkpoint(1))
    torch.save({"format": 4}, run.last_checkpoint)
    before = run.last_checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match="format 4"):
        store.resume()
    assert run.last_checkpoint.read_bytes() == before


def test_deleting_the_last_checkpoint_starts_afresh(run: RunDirectory, store: CheckpointStore) -> None:
    store.save_last(checkpoint(1))
    store.save_last(checkpoint(2))
    run.last_checkpoint.unlink()
    assert store.resume() is None
    assert not run.previous_checkpoint.exists()


def test_the_best_checkpoint_tells_what_to_beat(run: RunDirectory, store: CheckpointStore) -> None:
    assert store.best("data") is None
    store.save_best(checkpoint(val_loss=1.5))
    best = store.best("data")
    assert best is not None
    assert best.progress["val_loss"] == 1.5
    with pytest.raises(CheckpointError, match=r"ckpt_best\.pt was trained on other data"):
        store.best("other data")
    run.best_checkpoint.write_bytes(b"x")
    assert store.best("data") is None


def test_numbered_checkpoints_are_kept_up_to_a_number(run: RunDirectory) -> None:
    store = CheckpointStore(run, keep_last_n=2)
    save(run.numbered_checkpoint(9), checkpoint(9))  # of an earlier run that went further
    for step in (2, 4, 6):
        store.save_numbered(checkpoint(step), step)
    assert [load(path).progress["step"] for path in run.numbered_checkpoints()] == [4, 6, 9]


def test_a_checkpoint_holds_plain_values_only(path: Path) -> None:
    """No class of torch's or numpy's hides among them: what JSON cannot say would be refused on loading."""
    save(path, replace(checkpoint(), ema=None))
    json.dumps({key: value for key, value in load_plain(path).items() if key not in ("model", "ema", "optimizer")})
