"""Each call that a command makes to the file system, failing in turn."""

import itertools
from typing import Any

import pytest

from tests.faults.conftest import Template
from tests.faults.farm import ALL, Farm
from tests.faults.projects import Kind
from tests.faults.shim import ANSWERS, Operation

# The command, what was done before it, and how many trials there are if it is not all.
CASES: list[tuple[Kind, str, tuple[str, ...], dict[str, str], int]] = [
    ("builtin", "prepare", (), {}, 24),
    ("builtin", "train", ("prepare",), {}, 40),
    ("builtin", "train", ("prepare", "train"), {"max_iters": "4"}, 40),
    ("builtin", "sample", ("prepare", "train"), {}, 8),
    ("builtin", "export", ("prepare", "train"), {}, 40),
    ("builtin", "export", ("prepare", "train", "export"), {}, 24),
    ("builtin", "describe", ("prepare", "train"), {}, 8),
    ("tuned", "prepare", (), {}, 16),
    ("tuned", "train", ("prepare",), {}, 32),
    ("tuned", "sample", ("prepare", "train"), {}, 8),
    ("tuned", "merge", ("prepare", "train"), {}, 24),
    ("tuned", "export", ("prepare", "train", "merge"), {}, 8),
]


@pytest.mark.parametrize(("kind", "verb", "before", "options", "trials"), CASES)
def test_it_ends_with_a_message_and_the_next_start_does_all(
    farm: Farm,
    template: Template,
    kind: Kind,
    verb: str,
    before: tuple[str, ...],
    options: dict[str, str],
    trials: int,
) -> None:
    place = template(kind, *before, **options)
    requests: list[dict[str, Any]] = []
    # TensorBoard writes in a thread of its own, so that the order of the other calls is the same each time only apart.
    for where in ({"without": "/logs/"}, {"only": "/logs/"}):
        whole = farm.one("reference", template=place, verbs=[verb], **where)
        known = {"template": place, "verb": verb, "expected": whole["state"], "out": whole["out"]}
        faults = _faults([Operation(operation) for operation, _ in whole["calls"]])
        wanted = trials if "without" in where else trials // 4
        chosen = faults if ALL else faults[:: max(1, len(faults) // wanted)]
        requests += [{**known, "fault": {**fault, **where}} for fault in chosen]
    problems = farm.all(f"failing calls: {verb}, {kind}", "failing", requests)
    assert not problems, "\n".join(problems)


def _faults(calls: list[Operation]) -> list[dict[str, Any]]:
    """Each call with two of the answers that a disk may give to it, in rotation: once, and from then on."""
    rotation = itertools.count()
    faults: list[dict[str, Any]] = []
    for number, operation in enumerate(calls, 1):
        answers = [error for error, operations in ANSWERS.items() if operation in operations]
        for stays in (False, True):
            turn = next(rotation)
            fault = {"at": number, "error": answers[turn % len(answers)], "stays": stays, "half": turn % 3 == 0}
            faults.append(fault)
    return faults
