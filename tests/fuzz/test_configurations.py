"""Odd TOML: texts, values of every option, and what is extended."""

import contextlib
import json
import math
import os
import signal
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_playground.cli import main
from ml_playground.config.experiment import ExperimentConfig, option_fields
from ml_playground.config.load import load_config
from ml_playground.errors import ConfigError
from tests.project import CONFIG, Project

SECONDS = 20  # at most for one input
OPTIONS = [key for key, _ in option_fields()]
CHOICES = sorted(
    {choice for _, field in option_fields() for choice in get_args(field.annotation) if isinstance(choice, str)}
)
QUICK = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FEW = settings(QUICK, max_examples=60)

NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "-1", "2", "64", "-0.0", "1e-320", "1e308", "1e400", "-1e400", "nan", "inf", "-inf"]),
    st.sampled_from([str(2**power + more) for power in (7, 16, 24, 31, 32, 53, 63, 64, 200) for more in (-1, 0, 1)]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "\0", "~", "~root", "~nobody-there/x", "$HOME", "${HOME}/x", "$NOTHING/x", "..", "/", "/dev/zero"]
    ),
    st.sampled_from(["FILE:", "FILE:\0", "FILE:pipe", "FILE:/dev/zero", "FILE:$X", "x" * 300, "../" * 30, "a/b", "é"]),
    st.sampled_from(["utf-16", "idna", "rot13", "unicode_escape", "undefined", "mbcs", *CHOICES]),
).map(json.dumps)
SIMPLE = st.one_of(NUMBERS, TEXTS, st.sampled_from(["true", "false", "2020-01-01", "07:32:00", "1979-05-27T07:32:00Z"]))
VALUES = st.one_of(
    SIMPLE,
    st.lists(SIMPLE, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
    st.tuples(st.sampled_from(["a", "kind", "model", '"x y"']), SIMPLE).map(lambda each: f"{{{each[0]} = {each[1]}}}"),
)
KEYS = st.one_of(
    st.sampled_from(OPTIONS).map(".".join), st.sampled_from(["extends", "train", "a.b.c", "prepare", "lr"])
)
STATEMENTS = st.tuples(KEYS, VALUES).map(" = ".join)


@contextlib.contextmanager
def watched() -> Generator[None]:
    """Fail where an input takes too long."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an experiment, a pipe and links in a circle."""
    root = tmp_path_factory.mktemp("fuzz")
    project = Project(root)
    os.mkfifo(root / "pipe")
    (root / "circle").symlink_to("circle")
    (project.folder / "prepare.py").write_text(f"open({str(root / 'trapped')!r}, 'w')\n")
    return project.folder


def loads(folder: Path, text: str | bytes, name: str = "config.toml") -> ExperimentConfig | None:
    """What a text is as a configuration; None where it is refused, with at least one readable line."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    problems: list[str] = []
    config = None
    with watched():
        try:
            config = load_config(path, name="tiny", folder=folder, check_devices=True)
        except ConfigError as error:
            problems = error.problems
    assert not (folder.parent / "trapped").exists()
    assert (config is None) == bool(problems)
    assert all(0 < len(problem) < 3000 for problem in problems)
    if config is not None:
        json.dumps(config.resolved(), allow_nan=False)
    return config


@QUICK
@given(st.lists(STATEMENTS, min_size=1, max_size=4, unique_by=lambda line: line.partition(" ")[0]))
def test_any_values_of_any_options(folder: Path, lines: list[str]) -> None:
    loads(folder, "\n".join(lines))


@pytest.mark.parametrize("key", OPTIONS, ids=".".join)
@settings(QUICK, max_examples=15)
@given(value=VALUES)
def test_each_option(folder: Path, key: tuple[str, ...], value: str) -> None:
    config = loads(folder, f"{'.'.join(key)} = {value}")
    found: Any = config
    for name in key if config else ():
        found = getattr(found, name)
    assert not isinstance(found, float) or math.isfinite(found)


@QUICK
@given(st.data())
def test_mutations_of_a_whole_configuration(folder: Path, data: st.DataObject) -> None:
    text = CONFIG
    for _ in range(data.draw(st.integers(1, 4))):
        place, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 12))
        text = text[:place] + data.draw(st.one_of(st.text(max_size=8), VALUES, STATEMENTS)) + text[place + length :]
    loads(folder, text)


@QUICK
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="[]{}=.,\"'\\\n#a1 -_", max_size=200).map(str.encode)))
def test_any_bytes(folder: Path, text: bytes) -> None:
    loads(folder, text)


@pytest.mark.parametrize(
    "part", ["[", "a.", "{a=", "[[", "'''", '"""', "a = [", "[a]\n", "\\", '"', "a=1\n", "[a.b.c.d]\n", "x = {y.z = ["]
)
@pytest.mark.parametrize("times", [3, 100, 10_000, 100_000])
def test_repetitions(folder: Path, part: str, times: int) -> None:
    assert loads(folder, part * times) is None


@QUICK
@given(TEXTS, st.booleans())
def test_anything_to_extend(folder: Path, stated: str, deep: bool) -> None:
    loads(folder, f"extends = {stated}\n", "deep.toml" if deep else "config.toml")


@FEW
@given(st.lists(STATEMENTS, min_size=1, max_size=3, unique_by=lambda line: line.partition(" ")[0]))
def test_what_loads_can_be_described(folder: Path, lines: list[str]) -> None:
    config = loads(folder, "\n".join(lines))
    if config is not None:
        with watched():
            assert main(["describe", str(folder)]) in (0, 2)


@FEW
@given(
    st.lists(
        st.one_of(st.text(max_size=12), st.sampled_from([".", "..", "/", "~", "\0", "pipe", "circle"])), max_size=3
    )
)
def test_any_names_on_the_command_line(folder: Path, names: list[str]) -> None:
    with watched(), contextlib.chdir(folder.parent):
        try:
            code = main(["describe", *names])
        except SystemExit as error:
            code = error.code  # type: ignore[assignment] # argparse's is a number
    assert code in (0, 2)


ENDLESS = {"max_iters", "num_samples", "max_new_tokens", "grad_accum_steps"}  # large ones take for ever, as they should
LARGE = {
    "n_layer",
    "n_head",
    "n_embd",
    "n_kv_head",
    "head_dim",
    "n_inner",
    "block_size",
    "batch_size",
    "ngram_buckets",
    "r",
}
NUMERIC = [
    key
    for key, field in option_fields()
    if str(field.annotation) in ("<class 'int'>", "<class 'float'>")
    and key[-1] not in ENDLESS | LARGE
    and "peft" not in key
]
WITH_IT = {  # what makes an option act
    "logit_softcap": {},
    "muon_learning_rate": {"train.optim.kind": '"muon"'},
    "momentum": {"train.optim.kind": '"sgd"'},
    "decay_share": {"train.schedule.kind": '"wsd"'},
    "weight_decay": {"train.optim.kind": '"sgd"'},
    "ngram_embeddings": {"train.model.kind": '"modern"'},
}


@pytest.mark.parametrize(
    "value", ["1e-320", "1e-30", "1e-5", "0.9999999999999999", "1e30", "1e308", "0", "1", str(2**63 - 1)]
)
@pytest.mark.parametrize("key", NUMERIC, ids=".".join)
def test_extreme_numbers_train_and_sample_or_are_refused(project: Project, key: tuple[str, ...], value: str) -> None:
    project.configure(
        {"train.runtime.max_iters": "2", "sample.sample.max_new_tokens": "2", "train.runtime.threads": "1"}
    )
    project.configure({".".join(key): value, **WITH_IT.get(key[-1], {})})
    with watched():
        for verb in ("prepare", "train", "sample", "estimate"):
            outcome = project.run(verb)
            assert outcome.code in (0, 2)
            if outcome.code:
                assert outcome.err.count("\n") <= 5
                break
