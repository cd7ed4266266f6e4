"""The look of all pictures, and how they are written: SVG and PNG files, or SVG inside a page.

Colours are those of Okabe and Ito (2008), which colour-blind people tell apart. A page replaces them with its own,
which follow the light or dark theme.
"""

# matplotlib leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import hashlib
import io
import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter
from matplotlib.transforms import Bbox

from ml_playground.analysis.results import Unit
from ml_playground.errors import PlaygroundError
from ml_playground.utils.files import atomic_write

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK = "#1f2328"
SOFT = "#57606a"
LINE = "#d8dee4"
PAPER = "#ffffff"
PER: dict[Unit, str] = {"nats/token": "nats per token", "bits/byte": "bits per byte"}

Place = tuple[float, float]

_BESIDE = (  # where a name may be: points to the right and up, and what of the name is there
    (8, 0, "left", "center"),
    (6, -4, "left", "top"),
    (6, 4, "left", "bottom"),
    (-6, -4, "right", "top"),
    (-8, 0, "right", "center"),
    (-6, 4, "right", "bottom"),
    (0, 8, "center", "bottom"),
    (0, -8, "center", "top"),
)
_STYLES = ("-", "--", "-.", ":")
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ml_playground",  # the same picture gives the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 10,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_THEMED = {
    INK: "currentColor",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(PALETTE, 1)},
}

styled = rc_context(_RC)
"""Decorates what draws: what it uses of matplotlib's settings is the same for every user."""


class Label(NamedTuple):
    """A label beside the end of a line.

    Attributes:
        y: where the line ends.
        text: the name.
        number: of the line, which gives its colour and style.
    """

    y: float
    text: str
    number: int


def loss_label(unit: Unit = "nats/token") -> str:
    """What an axis of losses is called."""
    return f"validation loss, {PER[unit]}"


def colour(number: int) -> str:
    """The colour of the line with a number."""
    return PALETTE[number % len(PALETTE)]


def line_style(number: int) -> str:
    """Its style, which differs where the colour repeats."""
    return _STYLES[number // len(PALETTE) % len(_STYLES)]


def new_figure(*, width: float = 7.2, height: float = 4.2) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    style_axes(axes)
    return figure, axes


def style_axes(axes: Axes) -> None:
    """Quiet axes: a light grid, no box."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelcolor=INK, which="both")
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(INK)
    axes.title.set_color(INK)
    axes.set_facecolor("none")


def title(axes: Axes, text: str) -> None:
    """A title above the left end of the axes."""
    axes.set_title(text, loc="left", fontsize=11, color=INK, wrap=True)


def scale_x(axes: Axes, *, log: bool, prefixes: bool = True) -> None:
    """Ticks with few digits, on a linear or logarithmic axis; `prefixes` writes 10 k, 1 M."""
    _scale(axes, "x", log=log)
    if prefixes:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def scale_y(axes: Axes, *, log: bool) -> None:
    """Ticks with few digits, on a linear or logarithmic axis."""
    _scale(axes, "y", log=log)


def _scale(axes: Axes, which: str, *, log: bool) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    if not log:
        axis.set_major_locator(MaxNLocator(6))
        return
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    decades = math.log10(high / low) if low > 0 else math.inf
    if decades < 0.8:
        axis.set_major_locator(MaxNLocator(6))  # powers of ten, and their multiples, would be too few
    else:
        axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if decades < 3 else (1,)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_locator(NullLocator() if decades < 3 else LogLocator(10, subs="auto"))
    axis.set_minor_formatter(NullFormatter())


def laid_out(axes: Axes) -> Figure:
    """The figure of axes whose limits and places are now fixed, except for what `finished` makes room for."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return figure


def finished(figure: Figure) -> Figure:
    """The figure with everything in its place, so that drawing it twice gives the same."""
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def label_ends(axes: Axes, labels: Iterable[Label]) -> None:
    """Name lines to the right of the axes, each at its height as far as there is room."""
    figure = laid_out(axes)
    ordered = sorted(labels, key=lambda each: each.y)
    height = axes.get_window_extent().height / figure.dpi * 72
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((1, each.y)))[1] for each in ordered]
    gap = min(14 / height, 1 / max(1, len(ordered)))
    for label, at in zip(ordered, spread(heights, gap), strict=True):
        style, shade = line_style(label.number), colour(label.number)
        axes.plot([1.015, 1.045], [at, at], style, color=shade, linewidth=2, transform=axes.transAxes, clip_on=False)
        axes.text(1.055, at, label.text, va="center", color=INK, fontsize=9, transform=axes.transAxes)


def label_points(axes: Axes, places: Sequence[tuple[str, Place]], line: Sequence[Place], *, needed: int) -> None:
    """Name points beside them, where no other point or name, and no part of a line, is in the way.

    Those after the first `needed` ones stay without a name where there is no room for it.
    """
    laid_out(axes)
    pixels = [axes.transData.transform(place) for place in (*line, *(place for _, place in places))]
    taken = [Bbox([one, two]).padded(1) for one, two in pairwise(pixels[: len(line)])]
    taken += [Bbox([pixel, pixel]).padded(5) for pixel in pixels[len(line) :]]
    frame = axes.get_window_extent()
    for count, (name, place) in enumerate(places):
        texts = [
            axes.annotate(name, place, (x, y), textcoords="offset points", ha=ha, va=va, fontsize=9, color=INK)
            for x, y, ha, va in _BESIDE
        ]
        boxes = [text.get_window_extent() for text in texts]
        hidden = [
            box.count_overlaps(taken) + 2 * (box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0)
            for box in boxes
        ]
        best = int(np.argmin(hidden))
        fits = count < needed or hidden[best] == 0
        for number, text in enumerate(texts):
            if number != best or not fits:
                text.remove()
        if fits:
            taken.append(boxes[best])


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move increasing places between 0 and 1 as little as needed to have a gap between neighbours."""
    moved = [min(max(each, 0.0), 1.0) for each in places]
    for _ in range(200):
        for i in range(len(moved) - 1):
            lacking = gap - (moved[i + 1] - moved[i])
            if lacking > 0:
                moved[i], moved[i + 1] = moved[i] - lacking / 2, moved[i + 1] + lacking / 2
        moved = [min(max(each, gap * i), 1 - gap * (len(moved) - 1 - i)) for i, each in enumerate(moved)]
    return moved


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a picture as SVG or PNG, as the name ends; the same picture gives the same bytes.

    Raises:
        PlaygroundError: the name ends differently.
        StorageError: the system refuses to write there.
    """
    match path.suffix:
        case ".svg":
            content = _svg(figure, PAPER).encode()
        case ".png":
            buffer = io.BytesIO()
            FigureCanvasAgg(figure)
            figure.savefig(buffer, format="png", dpi=160, facecolor=PAPER, metadata={"Software": None})
            content = buffer.getvalue()
        case other:
            raise PlaygroundError(f"{path.name}: pictures are written as .svg or .png, not {other or 'without ending'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(content)


@styled
def inline(figure: Figure) -> str:
    """A picture as an SVG element for a page, whose colours follow the page's theme."""
    text = _svg(figure, "none")
    text = re.sub(r"^.*?(?=<svg )", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text)
    text = re.sub(r' (?:xmlns:xlink|version)="[^"]*"', "", text).replace(' xmlns="http://www.w3.org/2000/svg"', "")
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = text.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    text = re.sub(r' id="[\w.]+_\d+"', "", text).replace("xlink:href=", "href=")
    mark = hashlib.sha256(text.encode()).hexdigest()[:6]  # two pictures of a page share no name
    text = re.sub(r'(id="|href="#|url\(#)(\w+)', rf"\g<1>\g<2>{mark}", text)
    text = re.sub(r" font-family: [^;]*;", "", text)
    for shade, themed in _THEMED.items():
        text = text.replace(shade, themed)
    return re.sub(r"\n\s*", "\n", text)


def _svg(figure: Figure, background: str) -> str:
    buffer = io.BytesIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", facecolor=background, metadata=_NO_METADATA)
    return buffer.getvalue().decode()
