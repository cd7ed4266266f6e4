"""Commands at the same time in one run directory."""

import pytest

from tests.faults.conftest import Template
from tests.faults.farm import ALL, Farm
from tests.faults.projects import Kind


@pytest.mark.parametrize(
    ("kind", "first", "beside", "before"),
    [
        ("builtin", "prepare", "prepare", ()),
        ("builtin", "train", "train", ("prepare",)),
        ("builtin", "train", "export", ("prepare", "train")),
        ("builtin", "export", "export", ("prepare", "train")),
        ("tuned", "train", "merge", ("prepare", "train")),
        ("tuned", "train", "sample", ("prepare", "train")),
        ("tuned", "merge", "merge", ("prepare", "train")),
        ("tuned", "merge", "export", ("prepare", "train")),
    ],
)
def test_no_command_ends_another(
    farm: Farm, template: Template, kind: Kind, first: str, beside: str, before: tuple[str, ...]
) -> None:
    place = template(kind, *before, max_iters="2")
    whole = farm.one("reference", template=place, verbs=list(dict.fromkeys((first, beside))))
    known = {"template": place, "first": first, "beside": beside, "expected": whole["state"]}
    requests = [{**known, "seed": seed} for seed in range(40 if ALL else 4)]
    problems = farm.all(f"together: {first} and {beside}, {kind}", "together", requests)
    assert not problems, "\n".join(problems)
