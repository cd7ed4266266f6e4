"""What a comparison of made-up runs finds, and how it is written."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_playground.analysis import plots, statistics, tables
from ml_playground.analysis.comparison import compare
from ml_playground.analysis.comparison_page import as_html, as_markdown
from ml_playground.analysis.groups import grouped
from ml_playground.analysis.members import read_members
from ml_playground.analysis.pictures import Picture, over_training, pictures
from ml_playground.analysis.results import Axis, Comparison, Sample
from ml_playground.errors import PlaygroundError
from ml_playground.run.records import Changed, StartRecord, Summary, ValidationText
from tests.unit.analysis.made_up import STEPS, TEXT, write_run

BASE = (2.00, 2.02, 1.97, 2.05, 1.99)
RELU2 = {"train.model.mlp.kind": "relu2"}


def write_arm(folder: Path, losses: Sequence[float], **options: Any) -> None:
    for seed, loss in enumerate(losses, options.pop("first_seed", 1)):
        write_run(folder.with_name(f"{folder.name}{seed}"), loss, seed=seed, **options)


def compared(folder: Path, **options: Any) -> Comparison:
    members, left_out = read_members(sorted(folder.iterdir()))
    groups, notes = grouped(members)
    return compare(groups, left_out=left_out, notes=notes, **options)[0]


def test_runs_of_the_same_seed_and_batches_are_pairs(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    arm = [loss - 0.01 + error for loss, error in zip(BASE, (0.001, -0.001, 0.002, 0, -0.002), strict=True)]
    write_arm(tmp_path / "b", arm, changes=RELU2)
    base, row = compared(tmp_path).rows
    assert row.difference is not None
    assert row.difference == statistics.difference(arm, BASE, paired=True)
    assert (base.verdict, row.verdict, row.p) == ("base", "better", row.difference.p)
    assert row.mean == pytest.approx(np.mean(arm))
    assert row.sd == pytest.approx(np.std(arm, ddof=1))
    assert row.changes == ['[train.model.mlp] kind = "relu2"']
    assert row.cost is not None
    assert (row.cost.parameters, row.cost.without_tables, row.cost.tokens) == (1000, 800, 3200)


@pytest.mark.parametrize("other", [{"changes": {**RELU2, "train.data.batch_size": 8}}, {"first_seed": 11}])
def test_other_batches_or_seeds_are_independent(tmp_path: Path, other: dict[str, Any]) -> None:
    write_arm(tmp_path / "a", BASE)
    arm = [loss - 0.01 for loss in BASE]
    write_arm(tmp_path / "b", arm, **{"changes": RELU2, **other})
    _, row = compared(tmp_path).rows
    assert row.difference is not None
    assert row.difference == statistics.difference(arm, BASE, paired=False)
    assert row.verdict == "cannot tell"
    assert row.power is not None
    assert row.power.detectable == pytest.approx(statistics.detectable(row.difference))
    assert row.power.effect == pytest.approx(row.power.detectable / 2)
    assert row.power.seeds == statistics.seeds_needed(row.difference, row.power.effect)
    assert row.power.minutes == pytest.approx(2 * ((row.power.seeds or 0) - 5) * 50 / 60)


def test_a_seed_that_one_side_lacks_leaves_the_other_pairs(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", [loss - 0.02 + error for loss, error in zip(BASE[:4], (0, 1e-3, 0, -1e-3), strict=True)],
              changes=RELU2)  # fmt: skip
    comparison = compared(tmp_path)
    row = comparison.rows[1]
    assert row.difference is not None
    assert row.difference.paired
    assert row.difference.seeds == (4, 4)
    assert row.difference.mean == pytest.approx(-0.02)
    assert row.verdict == "better"
    assert 'mlp = "relu2" is compared on the seeds that base has too: 1, 2, 3, 4' in comparison.notes


def test_p_is_corrected_for_the_number_of_arms(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    for name, shift in (("b", 0.01), ("c", 0.02), ("d", 0.5)):
        errors = (0.01, -0.01, 0.02, 0, -0.02)
        arm = [loss + shift + error for loss, error in zip(BASE, errors, strict=True)]
        write_arm(tmp_path / name, arm, changes={"train.model.width": shift})
    _, *rows = compared(tmp_path).rows
    assert [row.p for row in rows] == statistics.holm([row.difference.p for row in rows if row.difference])
    assert [row.verdict for row in rows] == ["cannot tell", "cannot tell", "worse"]


def test_a_difference_that_does_not_matter_is_equivalent(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(
        tmp_path / "b",
        [loss + error for loss, error in zip(BASE, (0.001, -0.001, 0, 0, 0), strict=True)],
        changes=RELU2,
    )
    assert compared(tmp_path).rows[1].verdict == "cannot tell"
    comparison = compared(tmp_path, equivalence=0.01)
    assert comparison.rows[1].verdict == "equivalent"
    assert "equivalent within 0.01" in tables.as_text(comparison)


def test_the_share_of_the_budget_is_that_at_which_the_curve_crosses_the_loss_of_the_base(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", [2.0, 2.0])
    write_arm(tmp_path / "b", [1.0, 1.0], changes=RELU2)  # falls twice as fast
    write_arm(tmp_path / "c", [2.5, 2.5], changes={"train.model.n_layer": 1})
    _, faster, slower = compared(tmp_path).rows
    assert {axis: share.value for axis, share in faster.shares.items()} == {
        axis: pytest.approx(0.5) for axis in ("steps", "tokens", "flops", "seconds")
    }
    assert {share.value for share in slower.shares.values()} == {None}
    assert faster.shares.keys() == slower.shares.keys()


def test_over_text_is_asked_where_windows_are_kept(tmp_path: Path) -> None:
    spread = np.random.default_rng(0).normal(0, 2, 40)  # from window to window
    for name, shift, changes in (("a", 0.0, {}), ("b", -0.4, RELU2)):
        for seed in (1, 2):
            windows = 16 + spread + 8 * shift + np.random.default_rng(seed).normal(0, 0.1, 40)
            loss = float(windows.sum() / 320)
            write_run(tmp_path / f"{name}{seed}", loss, seed=seed, changes=changes, windows=list(windows))
    comparison = compared(tmp_path)
    interval = comparison.rows[1].over_text
    assert interval is not None
    assert interval.low == pytest.approx(-0.4, abs=0.01)
    assert interval.high == pytest.approx(-0.4, abs=0.01)
    assert "320 tokens" in comparison.measure
    (tmp_path / "b2" / "val_windows.npy").unlink()
    assert compared(tmp_path).rows[1].over_text is None


def test_another_validation_text_is_not_on_the_same_scale(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, data="other", validation=ValidationText("another", "others", 10))
    with pytest.raises(PlaygroundError, match=r"(?s)nothing to compare base with.*validation text is another"):
        compared(tmp_path)
    write_run(tmp_path / "c", 1.9, changes=RELU2)
    comparison = compared(tmp_path)
    assert [row.name for row in comparison.rows] == ["base", 'mlp = "relu2"']
    assert [each.name for each in comparison.left_out] == ["other data"]


def test_other_eval_iters_are_not_on_the_same_scale(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes={"train.runtime.eval_iters": 5})
    with pytest.raises(PlaygroundError, match="the first 40 of its tokens, that of base of the whole text"):
        compared(tmp_path)


@pytest.mark.parametrize(
    "other", [{"changes": {"train.data.block_size": 16}}, {"validation": replace(TEXT, token_ids="others")}]
)
def test_as_many_windows_of_other_sizes_or_tokens_are_other_text(tmp_path: Path, other: dict[str, Any]) -> None:
    some = {"train.runtime.eval_iters": 5}
    write_run(tmp_path / "a", 2, changes=some)
    options: dict[str, Any] = {**other, "changes": {**some, **RELU2, **other.get("changes", {})}}
    write_run(tmp_path / "b", 1, **options)
    with pytest.raises(PlaygroundError, match=r"its loss is of the first \d+ of its tokens, that of base"):
        compared(tmp_path)


def test_a_loss_on_part_of_the_text_is_not_called_exact(tmp_path: Path) -> None:
    for name, changes in (("a", {}), ("b", RELU2)):
        write_run(tmp_path / name, 2, changes={"train.runtime.eval_iters": 5, **changes})
    assert compared(tmp_path).measure.startswith("loss at the end of training on the first part of the validation text")


def test_other_tokenizers_are_compared_in_bits_per_byte(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE, bits=3.0)
    text = replace(TEXT, token_ids="others")
    write_arm(
        tmp_path / "b", [5.0] * 5, bits=2.5, data="other", validation=text, changes={"prepare.tokenizer.kind": "bpe"}
    )
    comparison = compared(tmp_path, equivalence=0.01)
    assert (comparison.unit, comparison.rows[1].mean, comparison.equivalence) == ("bits/byte", 2.5, None)
    assert comparison.rows[1].losses == [2.5] * 5
    assert any("tokenizers differ" in note for note in comparison.notes)


def test_another_block_size_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes={"train.data.block_size": 16})
    comparison = compared(tmp_path)
    assert any("has block_size = 16, base 8" in note for note in comparison.notes)
    assert comparison.rows[1].shares == {}


def test_one_seed_cannot_tell(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes=RELU2)
    comparison = compared(tmp_path)
    row = comparison.rows[1]
    assert (row.verdict, row.difference, row.sd, row.p) == ("cannot tell", None, None, None)
    text = tables.as_text(comparison)
    assert "95%" not in text
    assert "cannot tell" in text
    assert "-1.0000" in text
    assert "one seed is not enough" in text


def test_a_diverged_arm_is_a_row(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", BASE[:3], changes=RELU2, status="diverged")
    write_arm(tmp_path / "c", BASE, changes={"train.model.n_layer": 1})
    write_run(tmp_path / "d", 2, seed=9, changes={"train.model.n_layer": 1}, status="diverged")
    comparison = compared(tmp_path)
    _, diverged, some = comparison.rows
    assert (diverged.verdict, diverged.failed, diverged.mean) == ("diverged", {"diverged": 3}, None)
    assert (len(some.losses), some.failed) == (5, {"diverged": 1})
    assert any(note.startswith("n_layer = 1: 1 diverged of 6 runs") for note in comparison.notes)
    assert "0 (3 diverged)" in tables.as_text(comparison)


def test_survivors_of_an_arm_that_diverged_are_not_called_better(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", [loss - 0.1 for loss in BASE[:3]], changes=RELU2)
    assert compared(tmp_path).rows[1].verdict == "better"
    write_arm(tmp_path / "b", BASE[3:], first_seed=4, changes=RELU2, status="diverged")
    comparison = compared(tmp_path)
    assert comparison.rows[1].verdict == "cannot tell"
    assert any("no verdict is in its favour" in note for note in comparison.notes)


def test_a_base_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2, status="diverged")
    write_run(tmp_path / "b", 2, changes=RELU2)
    with pytest.raises(PlaygroundError, match=r"the base, base, has no finished run \(1 diverged\)"):
        compared(tmp_path)


def test_half_written_metrics_cost_the_shares_only(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", BASE, changes=RELU2)
    metrics = tmp_path / "b3" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    comparison = compared(tmp_path)
    row = comparison.rows[1]
    assert (row.shares, row.lowest, row.losses) == ({}, None, list(BASE))
    assert any("b3 is incomplete" in note for note in comparison.notes)


def test_what_differs_beside_the_configuration_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes=RELU2, versions={"torch": "2.12"})
    assert any("was trained with torch 2.12, base was not" in note for note in compared(tmp_path).notes)


def test_a_run_that_was_changed_on_the_way_is_named(tmp_path: Path) -> None:
    changed = [Changed("[train.optim] learning_rate", 1e-3, 1e-2), Changed("[versions] torch", "2.11", "2.12")]
    changed.append(Changed("[model] identity", "one", "other"))
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes=RELU2, starts=[StartRecord(50, "", 1, None, changed)])
    (note,) = (note for note in compared(tmp_path).notes if "changed" in note)
    assert note.endswith("b was changed at step 50, after it had begun: [train.optim] learning_rate, [model] identity")


def drawn(folder: Path) -> dict[str, Picture]:
    groups, _ = grouped(read_members(sorted(folder.iterdir()))[0])
    return {each.name: each for each in pictures(*compare(groups), "steps")}


def test_a_number_that_is_varied_alone_gets_a_picture_of_its_own(tmp_path: Path) -> None:
    both = {"train.optim.rate": 2e-3, "train.optim.decay": 2}
    for name, loss, changes in (
        ("a", 2.0, {"train.optim.rate": 1e-3, "train.optim.decay": 1}),
        ("b", 1.9, {"train.optim.decay": 1, "train.optim.rate": 2e-3}),
        ("c", 2.1, {"train.optim.decay": 1, "train.optim.rate": 4e-3}),
        ("d", 2.2, {"train.optim.decay": 1, "train.optim.rate": 0}),
        ("e", 1.0, {"train.optim.decay": 1, "train.optim.rate": 1e-3, **RELU2}),
        ("f", 1.0, both),
        ("g", 2.1, {"train.optim.decay": 2, "train.optim.rate": 1e-3}),
    ):
        for seed in (1, 2):
            write_run(tmp_path / f"{name}{seed}", loss + seed / 100, seed=seed, changes=changes)
    found = drawn(tmp_path)
    assert list(found) == ["forest", "varied_train_optim_rate", "curves", "differences"]
    picture = found["varied_train_optim_rate"]
    assert picture.caption == (
        "Loss at the end over [train.optim] rate, all else as in base. Not on its logarithmic axis: 0."
    )
    assert [text.get_text() for text in picture.figure.axes[0].get_xticklabels()] == ["0.001", "0.002", "0.004"]


def test_a_number_is_varied_alone_where_the_steps_follow_a_matched_budget(tmp_path: Path) -> None:
    for layers, steps, flops in ((2, 100, 100_000), (4, 50, 101_000), (8, 20, 99_000), (16, 30, 250_000)):
        for seed in (1, 2):
            changes = {"train.optim.rate": layers, "train.runtime.max_iters": steps}
            run = write_run(tmp_path / f"{layers:02}-{seed}", 2 + seed / 100, seed=seed, changes=changes)
            summary = Summary.read(run.summary)
            assert summary is not None
            progress = replace(summary.progress, step=steps, tokens=32 * steps, flops=flops, seconds=steps / 2)
            replace(summary, progress=progress).write(run.summary)
            rows = run.metrics.read_text().splitlines(keepends=True)
            run.metrics.write_text("".join(rows[: 1 + steps // 10]))  # one every ten steps
    found = drawn(tmp_path)
    assert "The table compares their ends." in found["differences"].caption
    picture = found["varied_train_optim_rate"]
    assert picture.caption.endswith("all else as in base and for as many tokens, FLOPs or seconds.")
    assert [text.get_text() for text in picture.figure.axes[0].get_xticklabels()] == ["2", "4", "8"]


def test_each_cost_that_differs_gets_a_front(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes=RELU2, parameters=2000)
    assert [name for name in drawn(tmp_path) if name.startswith("pareto")] == ["pareto_parameters"]


def test_a_group_with_other_batches_does_not_unpair_the_others_in_the_picture(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", [loss - 0.01 for loss in BASE], changes=RELU2)
    write_arm(tmp_path / "c", [loss - 0.01 for loss in BASE], changes={"train.data.batch_size": 8})
    axes = drawn(tmp_path)["differences"].figure.axes[0]
    paired, unpaired = (np.asarray(band.get_paths()[0].vertices) for band in axes.collections)
    at_the_end = [band[band[:, 0] == STEPS][:, 1] for band in (paired, unpaired)]
    assert np.ptp(at_the_end[0]) < 1e-6
    assert np.ptp(at_the_end[1]) > 0.05


def test_pictures_are_in_the_unit_of_the_table(tmp_path: Path) -> None:
    other: dict[str, Any] = {"data": "other", "validation": replace(TEXT, token_ids="other")}
    for seed in (1, 2):
        write_run(tmp_path / f"a{seed}", 2 + seed / 100, seed=seed, bits=3 + seed / 100)
        changes = {"prepare.tokenizer.kind": "bpe"}
        write_run(tmp_path / f"b{seed}", 5, seed=seed, bits=2.5, changes=changes, parameters=2000, **other)
    found = drawn(tmp_path)
    assert list(found) == ["forest", "curves", "differences", "pareto_parameters"]
    texts = [plots.inline(each.figure) for each in found.values()]
    assert all("bits per byte" in text and "nats" not in text for text in texts)
    (line, *_) = found["differences"].figure.axes[0].lines
    assert np.asarray(line.get_ydata())[-1] == pytest.approx(-0.515)


def test_windows_of_another_length_are_not_subtracted(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 2)
    write_run(tmp_path / "b", 1, changes={"train.data.block_size": 16})
    write_run(tmp_path / "c", 1, changes=RELU2)
    found = drawn(tmp_path)
    assert len(found["curves"].figure.axes[0].texts) == 3
    assert [text.get_text() for text in found["differences"].figure.axes[0].texts] == ['mlp = "relu2"']
    assert found["differences"].caption.endswith("during training: block_size = 16.")


def test_a_logarithmic_axis_begins_with_the_first_evaluation_that_has_a_place_on_it(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", [loss - 0.1 for loss in BASE], changes=RELU2)
    groups, _ = grouped(read_members(sorted(tmp_path.iterdir()))[0])
    places: dict[Axis, float] = {"steps": 10, "seconds": 5}
    for axis, first in places.items():
        shown = over_training(groups, axis, "nats/token", log_x=True)
        for picture in shown:
            low, _ = picture.figure.axes[0].get_xlim()
            assert first / 2 < low <= first


@pytest.mark.parametrize(
    ("key", "axis"), [("train.model.n_layer", "parameters"), ("train.runtime.max_iters", "training tokens")]
)
def test_sizes_get_a_law(tmp_path: Path, key: str, axis: str) -> None:
    for number in range(1, 5):
        for seed in (1, 2):
            loss, size = 1.5 + 2 * number**-0.5 + seed / 1000, number * 100_000
            run = write_run(tmp_path / f"{number}-{seed}", loss, seed=seed, changes={key: number}, parameters=size)
            if axis == "training tokens":
                summary = Summary.read(run.summary)
                assert summary is not None
                replace(summary, progress=replace(summary.progress, tokens=size)).write(run.summary)
    groups, _ = grouped(read_members(sorted(tmp_path.iterdir()))[0])
    found = {each.name: each for each in pictures(*compare(groups), "steps")}
    assert not any(name.startswith("varied") for name in found)
    assert found["law"].figure.axes[0].get_xlabel() == axis
    assert "loss = 1.5" in found["law"].figure.axes[0].get_title(loc="left")
    three = [group for group in groups if group.members[0].run.directory.path.name[0] != "4"]
    assert "law" not in {each.name for each in pictures(*compare(three), "steps")}


def test_it_is_written_as_json_markdown_and_html(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", BASE)
    write_arm(tmp_path / "b", [loss - 0.1 for loss in BASE], changes=RELU2)
    write_run(tmp_path / "c", 2, changes={"train.model.name": "a|b"}, status="diverged")
    comparison = replace(compared(tmp_path), samples=[Sample("base", 7, "the", " <b>cat</b> ``` sits")])
    values = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert values["rows"][1]["verdict"] == "better"
    assert values["rows"][1]["difference"]["interval"]["low"] == pytest.approx(-0.1)
    assert values["rows"][1]["power"]["detectable"] < 1e-6
    markdown = as_markdown(comparison)
    assert '| mlp = "relu2" | 5 |' in markdown
    assert 'name = "a\\|b"' in markdown
    assert '\n[train.model.mlp] kind = "relu2"\n' in markdown
    assert "\n    the <b>cat</b> ``` sits\n" in markdown
    html = as_html(comparison)
    assert "&lt;b&gt;cat&lt;/b&gt;" in html
    assert "Better than base: mlp = &quot;relu2&quot;; diverged: " in html
