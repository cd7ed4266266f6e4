"""What a power cut can leave of a command, and the same command in it."""

import pytest

from tests.faults.conftest import Template
from tests.faults.farm import ALL, Farm
from tests.faults.projects import SAVED_AT, Kind


@pytest.mark.parametrize(
    ("kind", "verb", "before", "trials"),
    [
        ("builtin", "prepare", (), 16),
        ("builtin", "train", ("prepare",), 60),
        ("builtin", "export", ("prepare", "train"), 24),
        ("tuned", "train", ("prepare",), 32),
        ("tuned", "merge", ("prepare", "train"), 24),
    ],
)
def test_after_a_power_cut_nothing_saved_is_lost(
    farm: Farm, template: Template, kind: Kind, verb: str, before: tuple[str, ...], trials: int
) -> None:
    place, folder = template(kind, *before), str(farm.work / f"cuts-{kind}-{verb}")
    most = 2_000 if ALL else trials
    made = farm.one("cuts", template=place, verb=verb, each=8, folder=folder, most=most)
    known = {"verb": verb, "expected": made["expected"], "steps": SAVED_AT[kind]}
    problems = farm.all(f"power cut: {verb}, {kind}", "after_cut", [{**known, **state} for state in made["states"]])
    assert not problems, "\n".join(problems)
