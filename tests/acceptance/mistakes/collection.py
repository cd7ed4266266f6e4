"""How a mistake is declared."""

from collections.abc import Callable

import pytest

from tests.project import Outcome, Project

Mistake = Callable[[Project, pytest.MonkeyPatch], Outcome]
MISTAKES: dict[str, Mistake] = {}


def mistake(name: str) -> Callable[[Mistake], Mistake]:
    """Add a mistake under the name that it has in the table. It gets a trained project and runs the failing command."""

    def add(arrange: Mistake) -> Mistake:
        assert name not in MISTAKES
        MISTAKES[name] = arrange
        return arrange

    return add


def configured(name: str, changes: dict[str, str], verb: str = "train") -> None:
    """A mistake that consists of some options' values."""

    @mistake(name)
    def arrange(project: Project, _: pytest.MonkeyPatch) -> Outcome:
        project.configure(changes)
        return project.run(verb)
