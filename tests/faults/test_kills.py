"""Training, killed anywhere and resumed to the end."""

import pytest

from tests.faults.conftest import Template
from tests.faults.farm import ALL, Farm
from tests.faults.projects import Kind


@pytest.mark.parametrize(("kind", "trials"), [("builtin", 500 if ALL else 120), ("tuned", 250 if ALL else 16)])
def test_killed_anywhere_it_resumes_to_the_same_bits(farm: Farm, template: Template, kind: Kind, trials: int) -> None:
    prepared = template(kind, "prepare")
    whole = farm.one("reference", template=prepared, verbs=["train"])
    known = {
        "template": prepared,
        "expected": whole["state"],
        "calls": len(whole["calls"]),
        "seconds": whole["seconds"],
    }
    problems = farm.all(f"kills: train, {kind}", "killed", [{**known, "seed": seed} for seed in range(trials)])
    assert not problems, "\n".join(problems)
