"""Bits flipped, files cut and filled with zeros: in every class of bytes of every file that is read again."""

import random

import pytest

from tests.faults.conftest import Template
from tests.faults.farm import ALL, Farm
from tests.faults.projects import Kind

NOT_READ = ("/export/", "/samples")  # what is written for others alone


@pytest.mark.parametrize(
    ("kind", "makes", "trials"), [("builtin", ["sample", "export"], 60), ("tuned", ["sample", "merge", "export"], 36)]
)
def test_damage_is_found_before_it_is_used(
    farm: Farm, template: Template, kind: Kind, makes: list[str], trials: int
) -> None:
    half = template(kind, "prepare", "train", *makes, max_iters="4")
    verbs = ["describe", *makes, "train"]
    expected = farm.one("in_a_row", template=half, verbs=verbs)
    damages = [
        damage
        for folder in ("tiny/out", "tiny/datasets")
        for damage in farm.one("damage_of", template=half, folder=folder, flips=4 if ALL else 1, cuts=6, seed=1)
        if not any(each in damage["file"] for each in NOT_READ)
    ]
    chosen = damages if ALL else random.Random(1).sample(damages, min(trials, len(damages)))
    known = {"template": half, "verbs": verbs, "expected": expected}
    problems = farm.all(f"damage: {kind}", "damaged", [{**known, **damage} for damage in chosen])
    assert not problems, "\n".join(problems)
