"""How runs are read, grouped and named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_playground.analysis.groups import Group, grouped
from ml_playground.analysis.members import LeftOut, read_members
from ml_playground.errors import PlaygroundError
from ml_playground.run import sealed
from ml_playground.run.directory import RunDirectory
from ml_playground.run.evaluations import StoredEvaluation, add_evaluations
from ml_playground.run.records import Changed, StartRecord
from ml_playground.run.seal import recorded_digest
from tests.unit.analysis.made_up import RECORD, write_run


def groups_in(folder: Path, base: str | None = None) -> list[Group]:
    members, left_out = read_members(sorted(folder.iterdir()))
    assert left_out == []
    return grouped(members, base=base)[0]


def test_runs_that_differ_in_the_seed_are_one_group_named_after_what_it_changes(tmp_path: Path) -> None:
    for seed in (2, 1, 3):
        write_run(tmp_path / f"a{seed}", 2, seed=seed)
        write_run(tmp_path / f"b{seed}", 2, seed=seed, changes={"train.model.mlp.kind": "relu2"})
        write_run(tmp_path / f"c{seed}", 2, seed=seed, changes={"train.optim.learning_rate": 0.01})
    groups = groups_in(tmp_path)
    assert [(group.name, group.seeds) for group in groups] == [
        ("base", [1, 2, 3]),
        ('mlp = "relu2"', [1, 2, 3]),
        ("learning_rate = 0.01", [1, 2, 3]),
    ]
    assert [change.key for group in groups for change in group.changes] == [
        "[train.model.mlp] kind",
        "[train.optim] learning_rate",
    ]


@pytest.mark.parametrize("base", ["learning_rate = 0.01", "c1"])
def test_the_base_is_chosen_by_the_name_of_a_group_or_a_run(tmp_path: Path, base: str) -> None:
    write_run(tmp_path / "a1", 2)
    write_run(tmp_path / "c1", 2, changes={"train.optim.learning_rate": 0.01})
    first, other = groups_in(tmp_path, base)
    assert (first.name, first.members[0].run.directory.path.name) == ("base", "c1")
    assert other.name == "learning_rate = 0.001"


def test_a_base_that_is_not_there_is_a_message_with_those_that_are(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 2, changes={"train.model.n_layer": 3})
    with pytest.raises(PlaygroundError, match=r"no base 'rope'. There are: base, n_layer = 3"):
        groups_in(tmp_path, "rope")


def test_many_changes_are_counted_and_equal_names_get_their_sections(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    many = {f"train.model.x{number}": number for number in range(5)}
    write_run(tmp_path / "b", 2, changes=many)
    write_run(tmp_path / "c", 2, changes={"train.model.same": 1})
    write_run(tmp_path / "d", 2, changes={"train.optim.same": 1})
    assert [group.name for group in groups_in(tmp_path)] == [
        "base",
        "x0 = 0, x1 = 1, x2 = 2, 2 more",
        "same = 1",
        "[train.optim] same = 1",
    ]


def test_other_data_is_another_group_though_the_configuration_is_the_same(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 2, data="other")
    assert [group.name for group in groups_in(tmp_path)] == ["base", "other data"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("changes", "code", "name"),
    [
        ({"train.model.file": "m.py"}, {"model_identity": ""}, "other code of m.py"),
        ({}, {"versions": "code of optimizers.lion"}, "other code of optimizers.lion"),
        ({"train.hf_model.model_name": "qwen"}, {"model_identity": ""}, "other weights of qwen"),
    ],
)
def test_other_code_is_another_group_though_the_configuration_is_the_same(
    tmp_path: Path, seed: int, changes: dict[str, Any], code: dict[str, str], name: str
) -> None:
    def write(folder: str, seed: int, content: str) -> None:
        record: dict[str, Any] = {
            key: {value: content} if key == "versions" else content for key, value in code.items()
        }
        write_run(tmp_path / folder, 2, seed=seed, changes=changes, **record)

    write("a", 1, "one")
    write("b", seed, "two")
    write("c", 3, "two")
    write("d", 3, "three")
    base, other, third = groups_in(tmp_path)
    assert (base.name, base.seeds) == ("base", [1])
    assert (other.name, other.seeds) == (name, [seed, 3])
    assert (third.name, third.seeds) == (f"{name} (2)", [3])


def test_other_code_is_said_where_the_name_or_the_changes_do_not(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2, changes={"train.model.file": "m.py"}, model_identity="one")
    wide = {"train.model.file": "m.py", "train.model.n_layer": 3}
    write_run(tmp_path / "b", 2, changes=wide, model_identity="two")
    write_run(tmp_path / "c", 2, changes={"train.model.file": "n.py"}, model_identity="three")
    members, _ = read_members(sorted(tmp_path.iterdir()))
    groups, remarks = grouped(members)
    assert [group.name for group in groups] == ["base", "other code of m.py, n_layer = 3", 'file = "n.py"']
    assert remarks == []
    _, remarks = grouped(members, names={tmp_path / "b": "wide"})
    assert remarks == ["wide has other code of m.py than base"]


def test_other_libraries_or_devices_within_a_group_are_said(tmp_path: Path) -> None:
    before = [Changed("[versions] numpy", "1", "2"), Changed("[machine] memory", 1, 2), Changed("[train.data] x", 1, 2)]
    start = StartRecord(50, "", 1, None, before)
    versions = {"torch": "2.11", "numpy": "2"}
    records: list[dict[str, Any]] = [
        {},
        {"versions": {**versions, "torch": "2.10"}},
        {"machine": replace(RECORD.machine, device="H100")},
    ]
    for seed, record in enumerate(records):
        stated: dict[str, Any] = {"versions": versions, "starts": [start], **record}
        write_run(tmp_path / f"{seed}", 2, seed=seed, **stated)
    members, _ = read_members(sorted(tmp_path.iterdir()))
    _, remarks = grouped(members)
    (remark,) = remarks
    mixed = "H100 and cpu; torch 2.10 and torch 2.11; numpy 1 and numpy 2"
    assert remark == (f"runs of base were trained with {mixed}: they differ for that reason too, not only in the seed")


def test_the_same_configuration_and_seed_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2, status="failed")
    write_run(tmp_path / "b", 2.5)
    write_run(tmp_path / "c", 2)
    members, _ = read_members(sorted(tmp_path.iterdir()))
    (group,), remarks = grouped(members)
    assert [each.run.directory.path.name for each in group.members] == ["b"]
    assert group.failed == ()
    assert len(remarks) == 2
    assert all("has the configuration and the seed of" in remark and "/b: " in remark for remark in remarks)


def test_diverged_runs_are_counted_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2, seed=1)
    write_run(tmp_path / "b", 2, seed=2, status="diverged")
    (group,) = groups_in(tmp_path)
    assert (group.seeds, [each.seed for each in group.failed]) == ([1], [2])


def reasons(left_out: list[LeftOut]) -> dict[str, str]:
    return {each.name.rpartition("/")[2]: each.reason for each in left_out}


def test_what_cannot_be_compared_is_left_out_with_a_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "whole", 2)
    write_run(tmp_path / "stopped", 2, status="stopped")
    write_run(tmp_path / "killed", 2, status="running")
    old = write_run(tmp_path / "old", 2)
    old.info.write_text('{"config": {}}')
    write_run(tmp_path / "older", 2, changes={"train.data": None})
    (tmp_path / "empty").mkdir()
    members, left_out = read_members([*sorted(tmp_path.iterdir()), tmp_path / "nowhere"])
    assert [each.run.directory.path.name for each in members] == ["whole"]
    found = reasons(left_out)
    assert found.keys() == {"stopped", "killed", "old", "older", "empty", "nowhere"}
    assert found["stopped"] == "was stopped after 100 of 100 steps: 'train', or its sweep, takes it to its end"
    assert found["killed"].startswith("was killed after")
    assert found["old"].endswith("run.json is damaged, or was written by another version of ml_playground")
    assert found["older"] == "was trained by another version, whose options were others"
    assert "has no run.json" in found["empty"]


def stored(loss: float, context: int, stride: int, digest: str) -> StoredEvaluation:
    file = "evaluations/none.npy"
    return StoredEvaluation("ckpt_last.pt", digest, 100, context, stride, 99, loss, loss, 0.5, "text", "ids", "", file)


def with_checkpoint(folder: Path, seed: int, *settings: tuple[float, int, int]) -> RunDirectory:
    """A run with a last checkpoint, of which `evaluate` measured some losses, each with a context and a stride."""
    run = write_run(folder, 2, seed=seed)
    sealed.write(run.last_checkpoint, {"of": folder.name}, {})
    digest = recorded_digest(run.last_checkpoint)
    assert digest is not None
    add_evaluations(run.evaluations, [stored(*each, digest) for each in settings])
    return run


def test_what_evaluate_measured_with_the_longest_common_context_is_taken(tmp_path: Path) -> None:
    for name, own in (("a", 16), ("b", 32)):
        with_checkpoint(tmp_path / name, own, (1.0, 8, 8), (1.1, 8, 4), (1.2, own, 1))
    write_run(tmp_path / "c", 2, seed=3)
    members, left_out = read_members(sorted(tmp_path.iterdir()), "evaluate")
    found = [each.measured for each in members if each.measured]
    assert [(each.loss, each.stride, each.tokens) for each in found] == [(1.1, 4, 99)] * 2
    assert set(reasons(left_out).values()) == {"is not measured yet: run 'evaluate' with its TOML file"}


def test_what_evaluate_measured_of_another_checkpoint_is_not_used(tmp_path: Path) -> None:
    with_checkpoint(tmp_path / "current", 1, (1.0, 8, 8))
    gone = with_checkpoint(tmp_path / "gone", 2, (1.0, 8, 8))
    gone.last_checkpoint.unlink()
    replaced = with_checkpoint(tmp_path / "replaced", 3, (1.0, 8, 8))
    sealed.write(replaced.last_checkpoint, {"of": "another run in the same folder"}, {})
    damaged = with_checkpoint(tmp_path / "damaged", 4, (1.0, 8, 8))
    damaged.last_checkpoint.write_bytes(b"x")
    members, left_out = read_members(sorted(tmp_path.iterdir()), "evaluate")
    assert [each.run.directory.path.name for each in members] == ["current"]
    found = reasons(left_out)
    assert found["gone"].endswith("ckpt_last.pt: no such checkpoint")
    assert "'evaluate' has measured another ckpt_last.pt than is there now" in found["replaced"]
    assert "ckpt_last.pt: damaged" in found["damaged"]


@pytest.mark.parametrize("damage", ["evaluations.json", "evaluations/none.npy"])
def test_a_damaged_evaluation_leaves_out_one_run_only(tmp_path: Path, damage: str) -> None:
    runs = [with_checkpoint(tmp_path / f"{number}", number, (1.0, 8, 8)) for number in range(3)]
    (runs[2].path / "evaluations").mkdir()
    (runs[2].path / damage).write_bytes(b"{")
    members, left_out = read_members(sorted(tmp_path.iterdir()), "evaluate")
    assert [each.run.directory.path.name for each in members] == ["0", "1"]
    assert "is damaged" in reasons(left_out)["2"]


def test_windows_of_another_loss_are_not_counted(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2, windows=[16, 16])
    write_run(tmp_path / "b", 2, windows=[16, 16.5], seed=2)
    members, _ = read_members(sorted(tmp_path.iterdir()))
    assert [each.measured.tokens for each in members if each.measured] == [16, None]


def test_evaluations_with_nothing_in_common_are_refused(tmp_path: Path) -> None:
    for name, context in (("a", 8), ("b", 16)):
        with_checkpoint(tmp_path / name, 1, (1.0, context, 8))
    with pytest.raises(PlaygroundError, match=r"a: context 8, stride 8; .*b: context 16, stride 8"):
        read_members(sorted(tmp_path.iterdir()), "evaluate")
