"""Ways in which a user can get it wrong. The messages that they must give stand in the tables of `docs/errors.md`."""

from tests.acceptance.mistakes import configuration, data, export, models, runs
from tests.acceptance.mistakes.collection import MISTAKES

__all__ = ["MISTAKES", "configuration", "data", "export", "models", "runs"]
