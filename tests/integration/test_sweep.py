"""Sweeps of a tiny model, trained by real workers."""

import json
import math
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from ml_playground import experiments, train
from ml_playground.commands.sweep import halving, home
from ml_playground.commands.sweep.folders import RunFolder, toml_text
from ml_playground.commands.sweep.measure import measure
from ml_playground.commands.sweep.plan import Plan, matched_steps, measure_key
from ml_playground.commands.sweep.workers import Task, Workers
from ml_playground.config.load import load_config
from ml_playground.config.sweep import Sweep
from ml_playground.errors import PlaygroundError, RunDirectoryError
from ml_playground.experiments import Experiment
from ml_playground.run.checkpoint import load
from ml_playground.run.opened import Run
from ml_playground.run.sweep import Measured, SweepArm, SweepRecord, SweepRun
from ml_playground.training.signals import StopSignals
from tests.full_disk import full_disk
from tests.integration.runs import assert_same_bits
from tests.integration.test_own_model import MODEL
from tests.integration.test_resume import OWN_PARTS
from tests.project import Outcome, Project

PACKAGE = Path(experiments.__file__).parents[1]
SWEEP = """\
extends = "config.toml"
[sweep]
seeds = [1, 2]
jobs = 1
[sweep.arms]
wide = { train.model.n_embd = 32 }
"""

pytestmark = pytest.mark.usefixtures("quick_workers")


def sweep(project: Project, text: str = SWEEP, name: str = "s") -> Outcome:
    return project.ok("sweep", project.preset(name, text))


def run(project: Project, folder: str, name: str = "s") -> Run:
    return Run.open(project.folder / "out" / name / folder)


def record(project: Project, name: str = "s") -> SweepRecord:
    found = SweepRecord.read(project.folder / "out" / name)
    assert found is not None
    return found


def plan_of(project: Project, text: str) -> Plan:
    path = project.preset("s", text)
    load_config(path, name="tiny", folder=project.folder)
    return Plan(Sweep(path, name="tiny", folder=project.folder), Experiment.at(project.folder))


def trained_by_hand(project: Project, text: str) -> Plan:
    """The runs of a sweep, each trained by itself in this process."""
    plan = plan_of(project, text)
    plan.prepare()
    for each in plan.runs({arm.name: 6 for arm in plan.sweep.arms}):
        folder = plan.run_folder(each)
        folder.write_config(plan.run_config(each, 6))
        project.ok("train", folder.config)
    return plan


def test_every_arm_is_trained_with_every_seed_into_a_folder_that_is_complete_in_itself(project: Project) -> None:
    outcome = sweep(project)
    assert "4 runs (2 arms x 2 seeds): about " in outcome.out
    assert outcome.out.endswith("4 runs in tiny/out/s: 4 finished\n")
    order = ["base/seed-1", "wide/seed-1", "base/seed-2", "wide/seed-2"]
    assert [each.folder for each in record(project).runs] == order
    assert [line.split(": ")[0] for line in outcome.out.splitlines() if "/4 " in line] == [
        f"{number}/4 {folder}" for number, folder in enumerate(order, 1)
    ]
    assert record(project).toml == "tiny/s.toml"
    assert record(project).arm("wide").overrides == {"train": {"model": {"n_embd": 32}}}

    trained = run(project, "wide/seed-2")
    assert trained.record is not None
    assert trained.record.config["train"]["runtime"]["seed"] == 2
    assert trained.record.config["train"]["model"]["n_embd"] == 32
    assert "step 6/6 validation" in (trained.directory.path / "train.log").read_text()
    toml = trained.directory.path / "config.toml"
    assert "6 of 6 steps done" in project.ok("train", toml).out
    assert len(project.ok("sample", toml).out) > 12

    by_hand = project.preset("by_hand", toml.read_text().replace("out/s/wide/seed-2", "out/by_hand"))
    project.ok("train", by_hand)
    of_sweep, of_hand = load(trained.directory.last_checkpoint), load(project.folder / "out/by_hand/ckpt_last.pt")
    assert_same_bits(of_sweep.model, of_hand.model)

    preset = project.preset("s", SWEEP + "[evaluate]\ncontext = 4\n")
    evaluated = project.ok("evaluate", preset)
    assert (evaluated.out.count("ckpt_last.pt"), evaluated.err) == (4, "")
    assert {(each.context, each.stride) for name in order for each in run(project, name).measured()} == {(4, 4)}

    again = project.ok("sweep", preset)
    assert "4 runs (2 arms x 2 seeds), 4 of them done: about 0 s" in again.out
    assert Run.open(toml.parent).summary == trained.summary, "a run that is done is not touched"


def test_a_run_whose_configuration_changed_is_done_again_and_what_it_was_is_kept(project: Project) -> None:
    trained_by_hand(project, SWEEP.replace("[1, 2]", "[1]"))
    before = {folder: run(project, folder).summary for folder in ("base/seed-1", "wide/seed-1")}
    outcome = sweep(project, SWEEP.replace("32", "64").replace("[1, 2]", "[1]"))
    assert (
        "again: wide/seed-1, where [train.model] n_embd was 32, is 64; [train.model] head_dim was 16, is 32; "
        "[train.model] n_inner was 128, is 256. What was there is now in tiny/out/s/replaced."
    ) in outcome.out
    assert "2 runs (2 arms x 1 seed), 1 of them done" in outcome.out
    assert run(project, "base/seed-1").summary == before["base/seed-1"]
    assert run(project, "replaced/wide-seed-1").summary == before["wide/seed-1"]
    redone = run(project, "wide/seed-1").record
    assert redone is not None
    assert redone.config["train"]["model"]["n_embd"] == 64


def test_a_run_is_kept_as_long_as_all_that_it_is_made_of_is_what_it_was(project: Project) -> None:
    model, parts = project.folder / "own.py", project.root / "parts.py"
    model.write_text(MODEL)
    parts.write_text(OWN_PARTS)
    project.config.write_text('plugins = ["parts.py"]\n' + project.config.read_text())
    arms = 'own = { train.model.file = "tiny/own.py" }\nplain = { train.optim = "plain" }\n'
    plan = trained_by_hand(project, SWEEP.replace("[1, 2]", "[1]") + arms)
    data = plan.prepare()
    runs = {each.arm: each for each in plan.runs({arm.name: 6 for arm in plan.sweep.arms})}

    def changes(arm: str, data: str = data["base"]) -> tuple[str, ...]:
        return plan.run_folder(runs[arm]).changes(plan.run_config(runs[arm], 6), data, any_threads=True)

    assert [changes(arm) for arm in runs] == [()] * 4
    assert changes("own", "x") == ("it was trained on other data than is prepared now",)
    model.write_text(MODEL + "# other\n")
    parts.write_text(OWN_PARTS + "# other\n")
    assert changes("base") == changes("wide") == ()
    assert changes("own") == ("the model's file has changed",)
    plan.run_folder(runs["base"]).run.info.write_text("{")
    assert changes("base") == ("run.json is damaged, or was written by another version",)
    assert changes("plain") == ("the code of optimizers.plain has changed",)
    plan.run_folder(runs["base"]).config.unlink()
    assert changes("base") == ("config.toml is missing, or cannot be read",)


def test_diverged_and_failed_runs_are_results_and_not_the_end(project: Project) -> None:
    (project.folder / "broken.py").write_text(
        "def build(vocab_size, block_size, options):\n    raise ValueError('no')\n"
    )
    text = SWEEP.replace("[1, 2]", "[1]") + (
        'hot = { train.optim.kind = "sgd", train.optim.learning_rate = 1e30 }\n'
        'broken = { train.model.file = "tiny/broken.py" }\n'
    )
    outcome = sweep(project, text)
    assert "hot/seed-1: diverged: step 2: " in outcome.out
    assert "broken/seed-1: failed: " in outcome.out
    assert outcome.out.endswith("4 runs in tiny/out/s: 2 finished, 1 diverged, 1 failed (hot/seed-1, broken/seed-1)\n")
    states = {name: run(project, f"{name}/seed-1").summary for name in ("base", "hot", "broken")}
    assert [each and each.status for each in states.values()] == ["finished", "diverged", "failed"]
    assert "Traceback" not in outcome.err
    again = project.ok("sweep", project.folder / "s.toml")
    assert "3 of them done" in again.out, "what failed may work now; what diverged would diverge again"


def test_arms_that_change_prepare_get_data_of_their_own_from_the_same_text(project: Project) -> None:
    text = SWEEP.replace("[1, 2]", "[1]").replace(
        "wide = { train.model.n_embd = 32 }",
        "half = { prepare.split.val_fraction = 0.5 }\n"
        "half_wide = { prepare.split.val_fraction = 0.5, train.model.n_embd = 32 }",
    )
    plan = plan_of(project, text)
    data = plan.prepare()
    assert data["half"] == data["half_wide"] != data["base"]
    (folder,) = (project.folder / "out" / "s" / "data").iterdir()
    assert folder.name.startswith("char-")
    _, *others = plan.runs({arm.name: 6 for arm in plan.sweep.arms})
    for each in others:
        config = plan.run_config(each, 6)
        assert config.prepare.dataset_dir == config.train.data.dataset_dir == folder
        assert config.prepare.raw_dir == project.folder / "raw"
    half, whole = ((each / "val.bin").stat().st_size for each in (folder, project.datasets))
    assert half > 4 * whole


def test_halving_keeps_the_best_arms_and_records_what_it_dropped(project: Project) -> None:
    text = SWEEP.replace("jobs = 1", "jobs = 1\nhorizons = [0.5, 1.0]\nhalving = 2").replace("[1, 2]", "[1]") + (
        'hot = { train.optim = { kind = "sgd", learning_rate = 1e30 } }\n'
    )
    outcome = sweep(project, text)
    assert "5 runs (3 + 2 arms x 1 seed)" in outcome.out
    assert "could not be timed" not in outcome.out, "steps of an arm that diverges take as long as any others"
    found = record(project)
    assert [each.arm for each in found.dropped] == ["hot"]
    assert found.dropped[0].loss is None
    assert [each.folder for each in found.runs if each.horizon == 1] == ["base/seed-1", "wide/seed-1"]
    short, long = run(project, "base/horizon-0.5/seed-1").summary, run(project, "base/seed-1").summary
    assert short is not None
    assert long is not None
    assert (short.max_iters, long.max_iters) == (3, 6)
    again = project.ok("sweep", project.folder / "s.toml").out
    assert "5 of them done" in again
    assert record(project).dropped == found.dropped


def test_the_steps_of_an_arm_follow_from_what_all_arms_get_as_much_of(project: Project) -> None:
    arms = "[sweep.arms]\nwide = { train.data.batch_size = 8 }\n"
    measured = {"base": Measured(32, 100, 9.0, 0.4, 1.0), "wide": Measured(64, 150, 9.0, 0.2, 1.0)}
    for match, expected in (("steps", 6), ("tokens", 3), ("flops", 2), ("seconds", 12)):
        plan = plan_of(project, f'extends = "config.toml"\n[sweep]\nseeds = [1]\nmatch = "{match}"\n{arms}')
        assert matched_steps(plan.sweep, dict(measured)) == {"base": 6, "wide": expected}, match
        if match in ("steps", "tokens"):
            assert matched_steps(plan.sweep, dict.fromkeys(measured)) == {"base": 6, "wide": expected}, match
            continue
        for lacking in measured:
            with pytest.raises(PlaygroundError, match=rf'match = "{match}" needs .* unknown for {lacking}'):
                matched_steps(plan.sweep, {**measured, lacking: None})
    measured["wide"] = Measured(64, 0, 9.0, 0.2, 1.0)  # of a model that does not estimate its FLOPs
    flops = plan_of(project, f'extends = "config.toml"\n[sweep]\nseeds = [1]\nmatch = "flops"\n{arms}').sweep
    with pytest.raises(PlaygroundError, match="unknown for wide"):
        matched_steps(flops, dict(measured))


def test_what_was_measured_is_kept_so_that_a_sweep_keeps_its_lengths(project: Project) -> None:
    text = SWEEP.replace("[sweep]", '[sweep]\nmatch = "seconds"')
    plan = plan_of(project, text)
    keys = {arm.name: measure_key(plan.config(arm, {}), "data", 1) for arm in plan.sweep.arms}
    measured = {"base": Measured(32, 100, 9.0, 0.4, 1.0), "wide": Measured(64, 150, 9.0, 0.2, 1.0)}
    arms = [SweepArm(name, {}, {}, 6, measured[name], keys[name]) for name in keys]
    before = SweepRecord("", "", "seconds", [1], [1.0], 0, 1, arms, [])
    with StopSignals() as signals, Workers([{}]) as workers:
        found = measure(plan, dict.fromkeys(keys, "data"), before, workers, signals)
    assert found == {name: (measured[name], keys[name]) for name in keys}
    changed = plan_of(project, text.replace("32", "64"))
    assert measure_key(changed.config(changed.sweep.arms[1], {}), "data", 1) != keys["wide"]
    assert measure_key(changed.config(changed.sweep.arms[0], {}), "data", 1) == keys["base"]


def test_threads_are_divided_among_jobs_and_a_run_keeps_its_own(project: Project) -> None:
    plan = plan_of(project, SWEEP.replace("jobs = 1", "jobs = 256"))
    assert plan.jobs.threads == 1
    (first, *_) = plan.runs({"base": 6, "wide": 6})
    config = plan.run_config(first, 6)
    assert config.train.runtime.threads == 1
    folder = plan.run_folder(first)
    folder.write_config(config)
    other = plan_of(project, SWEEP).run_config(first, 6)
    assert other.train.runtime.threads == 0
    assert folder.changes(other, "", any_threads=True) == ()
    assert folder.changes(other, "", any_threads=False) == ("[train.runtime] threads was 1, is 0",)


def test_what_is_not_a_sweep_says_what_to_write(project: Project) -> None:
    outcome = project.run("sweep")
    assert outcome.code == 2
    assert "tiny/config.toml has no [sweep]. Write a TOML file that extends it" in outcome.err


def test_what_is_for_one_run_names_a_run_of_the_sweep(project: Project) -> None:
    path = project.preset("s", SWEEP)
    expected = "tiny/s.toml describes a sweep: run it with 'sweep'. This command takes one of its runs: "
    for verb in ("train", "loop", "sample", "report", "merge", "export"):
        outcome = project.run(verb, path)
        assert (outcome.code, outcome.err) == (2, f"{expected}pass the config.toml in its folder.\n")
    with pytest.raises(PlaygroundError, match="describes a sweep"):
        train(project.folder, path)
    assert "sweep     tiny/out/s: 0 of 4 runs finished" in project.ok("describe", path).out
    plan = plan_of(project, SWEEP.replace("jobs = 1", "horizons = [0.5, 1.0]"))
    runs = list(plan.runs({arm.name: 6 for arm in plan.sweep.arms}))
    for each in runs[:5]:
        plan.run_folder(each).write_config(plan.run_config(each, 6))
        plan.run_folder(each).mark_failed(6)
    arms = [SweepArm(arm.name, {}, {}, 6, None, "") for arm in plan.sweep.arms]
    SweepRecord("tiny/s.toml", "", "steps", [1, 2], [0.5, 1.0], 0, 1, arms, runs).write(plan.folder)
    example = "--exp-config tiny/out/s/base/seed-1/config.toml, for example.\n"
    assert project.run("report", path).err == f"{expected}{example}"
    assert project.run("evaluate", path).err == "tiny/out/s: no run of this sweep is finished. Run 'sweep' first.\n"
    described = project.ok("describe", path).out
    assert "sweep     tiny/out/s: 0 of 8 runs finished\nseeds     1, 2\nhorizons  0.5, 1\n" in described
    assert "arms      base  3 failed, 1 to come\n          wide  2 failed, 2 to come\n" in described


def test_a_folder_of_a_run_or_of_another_sweep_is_refused(project: Project) -> None:
    project.ok("prepare")
    project.ok("train")
    path = project.preset("s", SWEEP + '[train.runtime]\nout_dir = "tiny/out/tiny"\n')
    assert "tiny/out/tiny is the folder of a run" in project.run("sweep", path).err
    project.folder.joinpath("other").mkdir()
    file = load_config(project.preset("s", SWEEP), name="tiny", folder=project.folder).file
    SweepRecord("tiny/other/s.toml", "", "steps", [1], [1.0], 0, 1, [], []).write(project.folder / "out" / "s")
    project.folder.joinpath("other", "s.toml").touch()
    with (
        pytest.raises(RunDirectoryError, match=r"is the folder of another sweep, tiny/other/s.toml"),
        home.locked_home(project.folder / "out" / "s", file),
    ):
        pass


def test_one_process_at_a_time_runs_a_sweep(project: Project) -> None:
    file = load_config(project.preset("s", SWEEP), name="tiny", folder=project.folder).file
    with home.locked_home(project.folder / "out" / "s", file):
        outcome = project.run("sweep", project.folder / "s.toml")
    assert outcome.code == 2
    assert f"tiny/out/s: another process ({os.getpid()}) runs this sweep" in outcome.err


def test_a_worker_that_is_killed_costs_its_task_only(project: Project) -> None:
    project.configure({"train.runtime.max_iters": "100000000"})
    project.ok("prepare")
    short = project.preset("short", 'extends = "config.toml"\n[train.runtime]\nmax_iters = 2\n')
    tasks = [
        Task("train", path, "tiny", project.folder, project.folder / f"{path.stem}.log")
        for path in (project.config, short)
    ]
    lock = project.out / "train.lock"

    def kill(_: object) -> None:
        if lock.exists() and (owner := lock.read_text()):
            os.kill(int(owner), signal.SIGKILL)
            lock.unlink()

    with StopSignals() as signals, Workers([{}]) as workers:
        outcomes = [outcome for _, outcome in workers.do(tasks, signals, show=kill)]
    assert [each.status for each in outcomes] == ["failed", "finished"]
    assert outcomes[0].message == "the worker process was killed by SIGKILL"
    folder = RunFolder(project.out, Experiment.at(project.folder))
    folder.mark_failed(100000000)
    assert folder.summary is not None
    assert folder.summary.status == "failed"


def test_what_is_in_the_way_of_all_runs_ends_the_sweep(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_playground.commands.sweep.workers._SPAWN", multiprocessing.get_context("spawn"))
    project.ok("prepare")
    task = Task("train", project.config, "tiny", project.folder, project.folder / "log")
    with (
        full_disk(20_000),  # too small for a checkpoint, also for processes that start here
        StopSignals() as signals,
        Workers([{}]) as workers,
        pytest.raises(PlaygroundError, match=r"(?s)ckpt_.*could not be written.*The same command resumes from here"),
    ):
        list(workers.do([task], signals))


def shipped() -> list[Path]:
    return [*sorted((PACKAGE / "experiments").glob("*/config.toml")), *sorted((PACKAGE / "configs").rglob("*.toml"))]


@pytest.mark.parametrize("path", shipped(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_configuration_as_a_file_of_its_own_is_the_same(path: Path, tmp_path: Path) -> None:
    for experiment in experiments.all_experiments():
        try:
            config = load_config(path, name=experiment.name, folder=experiment.folder)
        except PlaygroundError:
            continue
        copy = tmp_path / "config.toml"
        copy.write_bytes(toml_text(config, copy))
        again = load_config(copy, name="another", folder=tmp_path)
        assert again.model_dump() == config.model_dump()
        return
    pytest.fail("it is of no experiment")


def losses_of(**arms: list[float]) -> tuple[SweepRecord, dict[str, dict[int, float]]]:
    """A plan, and the losses of its arms by seed: those that are NaN are left out."""
    names = ["base", *arms]
    runs = [SweepRun(name, 1, horizon, 1, "") for horizon in (0.5, 1.0) for name in names]
    planned = [SweepArm(name, {}, {}, 1, None, "") for name in names]
    made = SweepRecord("", "", "steps", [1], [0.5, 1.0], 3, 1, planned, runs)
    losses = {"base": [9.0] * max(map(len, arms.values())), **arms}
    return made, {
        name: {seed: loss for seed, loss in enumerate(of_arm) if loss == loss} for name, of_arm in losses.items()
    }


def test_halving_keeps_a_share_of_the_arms_and_always_the_base() -> None:
    made, losses = losses_of(a=[3.0], b=[1.0], c=[math.inf], d=[2.0])
    assert halving.arms_at(made) == {0.5: 5, 1.0: 3}
    kept, dropped = halving.without_the_worst(made, 0.5, losses)
    assert [each.arm for each in kept.runs if each.horizon == 1.0] == ["base", "b", "d"]
    assert [(each.arm, each.loss, each.best) for each in dropped] == [("a", 3.0, 1.0), ("c", None, 1.0)]
    assert json.dumps([each.loss for each in dropped]), "JSON has no NaN"


def test_halving_ranks_arms_over_the_seeds_that_all_have_finished() -> None:
    made, losses = losses_of(a=[1.0, 9.0], b=[2.0, math.nan], c=[3.0, 3.0], d=[0.0, math.inf], e=[math.nan] * 2)
    _, dropped = halving.without_the_worst(made, 0.5, losses)
    assert [(each.arm, each.loss) for each in dropped] == [("c", 3.0), ("e", None), ("d", None)]
    assert halving.mean_losses(losses) == {"base": 9.0, "a": 1.0, "b": 2.0, "c": 3.0, "d": math.inf, "e": math.inf}
    made, losses = losses_of(a=[1.0, math.nan], b=[math.nan, 2.0])
    del losses["base"][0]
    assert halving.mean_losses(losses) == {"base": 9.0, "a": 1.0, "b": 2.0}, "no seed is common"
