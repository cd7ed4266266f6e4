"""The server of the trials, the projects that they copy, and the table at the end."""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.faults.farm import Farm, Row
from tests.faults.projects import Kind
from tests.faults.shim import build
from tests.faults.verdicts import KINDS

# What commands import on their way, so that no trial has to.
_MODULES = [
    "ml_playground.data.document",
    "ml_playground.data.prepare",
    "ml_playground.data.sources.speeches",
    "ml_playground.commands.describe",
    "ml_playground.commands.export",
    "ml_playground.finetune.adapters",
    "ml_playground.finetune.merge",
    "ml_playground.finetune.model",
    "ml_playground.commands.train",
    "numpy.ctypeslib",
    "peft.utils.transformers_weight_conversion",
    "tests.integration.finetuning",
    "torch._dynamo",
    "torch.utils.serialization.config",
    "transformers.models.audioflamingo3",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen2.tokenization_qwen2",
]
_ROWS = pytest.StashKey[list[Row]]()

# A project of a kind in which some verbs have been run, with max_iters as given meanwhile: its folder.
Template = Callable[..., str]


@pytest.fixture(scope="session")
def farm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Generator[Farm]:
    """The server, ready for trials."""
    if shutil.which("cc") is None:
        if os.environ.get("CI"):
            pytest.fail("needs a C compiler (cc)")
        pytest.skip("needs a C compiler (cc), to build what makes calls fail")
    work = tmp_path_factory.mktemp("faults")
    farm = Farm(work, build(work))
    farm.preload(_MODULES)
    pytestconfig.stash[_ROWS] = farm.rows
    yield farm
    farm.close()


@pytest.fixture(scope="session")
def template(farm: Farm) -> Template:
    """Make a project, or find it, that trials copy."""
    made: dict[str, Path] = {}

    def project(kind: Kind, *verbs: str, **options: str) -> str:
        name = "-".join([kind, *verbs, *options.values()])
        if name not in made:
            made[name] = farm.work / name
            farm.one("prepare_template", root=str(made[name]), kind=kind, verbs=list(verbs), options=options)
        return str(made[name])

    return project


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was tried, and what came of it."""
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("trials")
    head = f"{'':44} {'trials':>7} {'faults':>7}" + "".join(f"{kind:>10}" for kind in KINDS) + f"{'seconds':>9}"
    terminalreporter.write_line(head)
    for row in rows:
        counts = "".join(f"{row.problems[kind]:>10}" for kind in KINDS)
        terminalreporter.write_line(f"{row.part:44} {row.trials:>7} {row.faults:>7}{counts}{row.seconds:>9.0f}")
