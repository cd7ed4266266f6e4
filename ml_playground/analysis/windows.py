"""The windows of a text that was scored, by their losses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_playground.analysis.scores import Integers, Scores


@dataclass(frozen=True)
class Windows:
    """The full windows of a text, in its order; its last window may be shorter, and is then left out.

    Attributes:
        starts: index of each one's first token in the text (W,).
        losses: mean of each, in nats per token (W,).
        length: tokens that are predicted in each.
    """

    starts: Integers
    losses: npt.NDArray[np.float64]
    length: int


def full_windows(scores: Scores) -> Windows:
    """Those of the text that was scored; a single one if it is shorter than a window."""
    starts = np.flatnonzero(scores.positions == 0)
    lengths = np.diff(np.append(starts, len(scores.nats)))
    losses = np.add.reduceat(scores.nats, starts, dtype=np.float64) / lengths
    full = lengths == lengths.max()
    return Windows(starts[full], losses[full], int(lengths.max()))
