"""An exploration as a page: passages whose tokens one selects, and what the model does at each."""

import base64
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_playground.analysis.explore import Attended, Exploration, Explored
from ml_playground.analysis.markup import printable
from ml_playground.analysis.page import (
    SHADES,
    Cell,
    Column,
    Details,
    Heading,
    Part,
    Table,
    Text,
    Widget,
    legend,
    page,
)
from ml_playground.analysis.states import LayerReadings
from ml_playground.analysis.subject import made_from

_MILLIBITS = 1000 / math.log(2)  # in a nat
_SHARE = 2**16 - 1  # stands for a probability of 1

_HTML = """\
<div class="explorer">
<div class="controls">
<label>Passage <select></select></label>
<fieldset><legend>Underline in the text:</legend>
<label><input type="radio" name="marks" value="effects" checked> what the token relies on</label>
<label><input type="radio" name="marks" value="attended"> what the head attends to</label>
</fieldset>
<p>{legend}</p>
</div>
<div class="passage" tabindex="0" role="group" aria-label="Passage: arrow keys select a token"></div>
<div class="panel">
<p class="selected" aria-live="polite" aria-atomic="true"></p>
<div class="parts"></div>
</div>
</div>"""


def as_html(exploration: Exploration) -> str:
    """The exploration as a page of its own."""
    parts = [*_passages(exploration), *_heads(exploration), made_from(exploration.source)]
    return page(f"Inside {exploration.name}", parts, lead=_lead(exploration))


def _lead(exploration: Exploration) -> str:
    source, loss = exploration.source, exploration.validation_loss
    mean = "" if loss is None else f", validation loss {loss:.4f} nats/token"
    return f"{source.checkpoint}, step {source.step:,}{mean}."


def _passages(exploration: Exploration) -> Iterator[Part]:
    yield Heading("Token by token")
    yield Text(
        "Select a token with a click, a tap or the arrow keys to see how the model came to predict it. The colour is "
        "its surprise: -log2 of the probability that the model gave it, in bits."
    )
    for reason in exploration.missing:
        yield Text(f"Not shown: {reason}")
    names = {token: number for number, token in enumerate(exploration.texts)}
    data = {
        "shades": SHADES,
        "names": [printable(text) for text in exploration.texts.values()],
        "passages": [_data(each, names) for each in exploration.passages],
    }
    yield Widget("explore", _HTML.format(legend=legend()), data)


def _data(explored: Explored, names: dict[int, int]) -> dict[str, Any]:
    """What the script reads of a passage: bits in thousandths, probabilities in units of 1 / 65535."""
    scores, passage = explored.scores, explored.passage
    start = "" if passage.start is None else f"from token {passage.start:,}, "
    numbers = np.vectorize(names.__getitem__, otypes=[np.int64])
    return {
        "title": f"{start}{scores.loss:.4f} nats/token",
        "ids": packed(numbers(np.asarray(passage.ids))),
        "bits": packed(scores.nats * _MILLIBITS),
        "ranks": packed(scores.ranks),
        "entropies": packed(scores.entropies * _MILLIBITS),
        "own": packed(np.exp(-scores.nats) * _SHARE),
        "top": {"ids": packed(numbers(scores.top_ids)), "shares": packed(scores.top_probabilities * _SHARE)},
        "effects": packed(explored.effects * _MILLIBITS),
        "attended": None if explored.attended is None else _attended(explored.attended),
        "readings": None if explored.readings is None else _readings(explored.readings, numbers),
    }


def _attended(attended: Attended) -> dict[str, Any]:
    return {
        "layers": packed(np.asarray(attended.layers)),
        "places": packed(attended.places),
        "weights": packed(attended.weights * 255),
    }


def _readings(readings: LayerReadings, numbers: Any) -> dict[str, Any]:
    return {
        "bits": packed(readings.nats * _MILLIBITS),
        "ids": packed(numbers(readings.top_ids)),
        "shares": packed(readings.top_probabilities * _SHARE),
    }


def packed(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Numbers as the smallest integers that hold them, rounded: their shape, their type, and their bytes in base64.

    What is not a number or too large becomes the largest number of 32 bits, with its sign.
    """
    most = 2**31 - 1
    whole = np.nan_to_num(np.rint(np.asarray(values, dtype=np.float64)), nan=most, posinf=most, neginf=-most)
    whole = whole.clip(-most, most)
    low, high = (0, 0) if whole.size == 0 else (whole.min(), whole.max())
    fitting = (kind for kind in ("u1", "i2", "u2", "i4") if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    kind = next(fitting)
    data = base64.b64encode(whole.astype(f"<{kind}").tobytes()).decode()
    return {"shape": list(whole.shape), "type": kind, "data": data}


def _heads(exploration: Exploration) -> Iterator[Part]:
    if not exploration.heads:
        return
    yield Heading("What the heads attend to")
    yield Text(
        "Mean shares of each head's attention over all of these passages. A head that attends to tokens which followed "
        "an earlier occurrence of the current token can repeat what came before (induction). Uniform attention would "
        f"give these tokens {exploration.chance:.1%}."
    )
    columns = [
        Column("layer"),
        Column("head"),
        Column("itself", ".1%", "the token at the position itself"),
        Column("previous", ".1%", "the token before it"),
        Column("first", ".1%", "the first token of the passage, often an attention sink"),
        Column("induction", ".1%", "tokens that followed an earlier occurrence of the token at the position"),
        Column("distance", ".1f", "how many tokens back, on average"),
    ]
    rows: list[list[Cell]] = [
        [each.layer, each.head, each.itself, each.previous, each.first, each.induction, each.distance]
        for each in exploration.heads
    ]
    table = Table(columns, rows)
    yield table if len(rows) <= 64 else Details(f"All {len(rows):,} heads", [table])
