"""Pictures show what they are given, are the same bytes each time, and refer to nothing outside them."""

import re
import sys
from itertools import pairwise
from pathlib import Path
from subprocess import run
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from ml_playground.analysis import plots, report_plots
from ml_playground.analysis.curves import Contrast, Differences, X
from ml_playground.analysis.drawing import spread
from ml_playground.analysis.fit import Bin, Calibration, Confidence
from ml_playground.analysis.fits import Setting, loss_law
from ml_playground.analysis.plots import Arm, Candidate, Curve, Points
from ml_playground.analysis.statistics import difference
from ml_playground.errors import PlaygroundError
from ml_playground.run.records import MetricRow


def points(*losses: float, every: int = 10, first: int = 10) -> Points:
    steps = [first + every * i for i in range(len(losses))]
    return Points(steps, [s * 64 for s in steps], [s * 1e6 for s in steps], [s / 7 for s in steps], losses)


BASE = Curve("base", [points(3, 2, 1.5), points(3.1, 2.1, 1.4)])
ROPE = Curve("rope <&>", [points(3, 1.9, 1.3), points(3, 2.0, 1.2)])
SHORT = Curve("short", [points(3.2, 2.2)])
SETTINGS = [Setting(v, [2 + np.log(v) ** 2, 2.01 + np.log(v) ** 2]) for v in (0.3, 0.5, 1.0, 2.0, 4.0)]
SIZES = [Setting(n, [1.5 + 40 * n**-0.3]) for n in (1e5, 3e5, 1e6, 3e6)]


def contrasted(group: Curve, x: X = "steps", *, paired: bool = True) -> Differences:
    found = Contrast(group.name, group.runs, BASE.runs, paired).over(x)
    assert found is not None
    return found


def pictures() -> dict[str, Figure]:
    candidates = [Candidate("base", 1.9, 39, 1e12, 1e6), Candidate("wide", 1.8, 90, 3e13, 3e6)]
    return {
        "curves": plots.curves([BASE, ROPE, SHORT]),
        "log curves": plots.curves([BASE, ROPE], "flops", log_x=True, log_y=True),
        "differences": plots.differences([contrasted(ROPE, "tokens"), contrasted(SHORT, "tokens")], "base", "tokens"),
        "forest": plots.forest([Arm("rope", -0.1, -0.2, 0.0, "better"), Arm("wide", 0.1, 0.0, 0.2, "worse")], "base"),
        "pareto": plots.pareto([*candidates, Candidate("worse", 2.0, 95, 2e12, 1e6)], "flops"),
        "varied": plots.varied(SETTINGS, "learning rate"),
        "law": plots.law(loss_law(SIZES), SIZES),
        "bins": report_plots.bins([Bin(0, 0, 0, None), Bin(1, 9, 5, 2.0), Bin(10, 10**6, 9, 1.0)], "seen", 1.5),
        "calibration": report_plots.calibration(
            Calibration(0.1, [Confidence(0, 0.5, 0, None, None), Confidence(0.5, 1, 9, 0.8, 0.7)])
        ),
    }


def test_pictures_stand_alone_and_are_the_same_each_time(tmp_path: Path) -> None:
    for (name, one), again in zip(pictures().items(), pictures().values(), strict=True):
        for path, figure in ((tmp_path / "one.svg", one), (tmp_path / "two.svg", again)):
            plots.save(figure, path)
        text = (tmp_path / "one.svg").read_text()
        assert text == (tmp_path / "two.svg").read_text(), name
        assert len(text) < 60_000
        for element in ElementTree.fromstring(text).iter():
            for key, value in element.attrib.items():
                assert not key.endswith("href") or value.startswith("#")


def test_pictures_in_a_page_follow_its_theme_and_share_no_names() -> None:
    names: list[str] = []
    for name, figure in pictures().items():
        text = plots.inline(figure)
        assert text == plots.inline(figure), name
        ElementTree.fromstring(text)
        assert "http" not in text
        assert not re.search("#1f2328|#57606a|#d8dee4|#0072b2|<style", text)
        assert "currentColor" in text
        own = re.findall(r' id="(\w+)"', text)
        names += set(own)
        assert set(re.findall(r"#(\w+)", text)) <= set(own)
    assert len(names) == len(set(names))


def test_pictures_are_written_as_png(tmp_path: Path) -> None:
    plots.save(plots.curves([BASE]), tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match=r"a.jpg: pictures are written as .svg or .png, not .jpg"):
        plots.save(plots.curves([BASE]), tmp_path / "a.jpg")


def test_names_are_text_in_the_picture() -> None:
    text = "".join(ElementTree.fromstring(plots.inline(plots.curves([BASE, ROPE]))).itertext())
    assert "rope <&> (2 seeds)" in text
    assert "optimizer steps" in text
    assert "validation loss, nats per token" in text


def test_mean_is_only_where_all_seeds_were_evaluated() -> None:
    curve = Curve("x", [points(4, 3, 2), points(2, 1, first=20)])
    at, losses = curve.mean("steps")
    assert at.tolist() == [20, 30]
    assert losses.tolist() == [2.5, 1.5]


def test_mean_is_placed_at_the_mean_time() -> None:
    slow = Points([10], [1], [1.0], [9.0], [2.0])
    fast = Points([10], [1], [1.0], [5.0], [4.0])
    at, losses = Curve("x", [slow, fast]).mean("seconds")
    assert (at.tolist(), losses.tolist()) == ([7.0], [3.0])


def test_seeds_without_a_common_step_have_no_mean() -> None:
    plots.inline(plots.curves([Curve("x", [points(4, 3), points(2, 1, first=15)])]))


def test_points_are_the_rows_that_have_the_metric() -> None:
    rows = [MetricRow(1, 2, 0.5, 3, {"train/loss": 9.0}), MetricRow(2, 4, 1.0, 6, {"val/loss": 8.0})]
    assert Points.of(rows) == Points([2], [4], [6], [1.0], [8.0])


def lines(figure: Figure) -> list[tuple[list[float], list[float]]]:
    return [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in figure.axes[0].lines
    ]


def test_differences_are_those_of_the_means() -> None:
    (at, means), *_ = lines(plots.differences([contrasted(ROPE)], "base"))
    assert at == [10, 20, 30]
    assert means == pytest.approx([-0.05, -0.1, -0.2])


@pytest.mark.parametrize("paired", [True, False])
def test_bands_of_differences_are_the_intervals_of_the_table(paired: bool) -> None:
    found = contrasted(ROPE, paired=paired)
    assert found.band is not None
    for number in range(3):
        one, other = ([run.losses[number] for run in curve.runs] for curve in (ROPE, BASE))
        interval = difference(one, other, paired=paired).interval
        assert [ends[number] for ends in found.band] == pytest.approx([interval.low, interval.high])


def test_differences_are_at_the_same_time_and_not_after_the_same_steps() -> None:
    slow = Points([0, 10, 20], [0, 1, 2], [0, 1, 2], [0.0, 20.0, 44.0], [3.0, 2.0, 1.0])
    fast = Points([0, 10, 20], [0, 1, 2], [0, 1, 2], [0.0, 10.0, 22.0], [3.0, 2.0, 1.0])
    contrast = Contrast("fast", [fast], [slow], paired=True)
    steps, seconds = contrast.over("steps"), contrast.over("seconds")
    assert steps is not None
    assert seconds is not None
    assert (steps.means.tolist(), steps.interpolated) == ([0, 0, 0], False)
    assert seconds.at.tolist() == [0, 10, 20, 22]
    assert seconds.means == pytest.approx([0, 2 - 2.5, 2 - 10 / 12 - 2, 1 - (2 - 2 / 24)])
    assert seconds.interpolated
    drawn = plots.differences([seconds], "slow", "seconds").axes[0]
    assert "to slow after the same training time" in drawn.get_title(loc="left")
    assert "losses between evaluations are interpolated" in drawn.get_title(loc="left")


def test_runs_that_are_evaluated_at_other_steps_are_compared_where_both_were() -> None:
    often, rarely = points(4, 3, 2, 1), points(3.5, 1.5, every=20)
    found = Contrast("rarely", [rarely], [often], paired=True).over("steps")
    assert found is not None
    assert (found.at.tolist(), found.means.tolist(), found.interpolated) == ([10, 30], [-0.5, -0.5], False)
    assert Contrast("later", [points(1, first=100)], [often], paired=True).over("steps") is None


def test_front_is_what_none_beats() -> None:
    names = [Candidate("a", 2.0, 10, 1, 1), Candidate("b", 2.1, 20, 1, 1), Candidate("c", 1.5, 30, 1, 1)]
    (at, losses), *_ = lines(plots.pareto(names, "seconds"))
    assert list(zip(at, losses, strict=True)) == [(10, 2.0), (30, 2.0), (30, 1.5)]


def test_groups_of_the_same_name_are_all_on_the_front() -> None:
    figure = plots.pareto([Candidate("a", 2.0, 10, 1, 1), Candidate("a", 1.5, 30, 1, 1)])
    assert len(lines(figure)) == 3
    assert len(figure.axes[0].texts) == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [((0.3, 0.5, 1.0, 2.0, 4.0), "Lowest at 1$"), ((2.0, 4.0, 8.0), "may lie outside"), ((1.0, 2.0), "needs three")],
)
def test_title_says_what_the_parabola_knows(values: tuple[float, ...], said: str) -> None:
    figure = plots.varied([Setting(v, [2 + np.log(v) ** 2]) for v in values], "learning rate")
    assert re.search(said, figure.axes[0].get_title(loc="left"))


def test_labels_are_moved_apart_and_stay_inside() -> None:
    moved = spread([0.0, 0.01, 0.02, 0.9, 1.2], 0.1)
    assert moved == sorted(moved)
    assert all(b - a > 0.099 for a, b in pairwise(moved))
    assert moved[0] >= 0
    assert moved[-1] <= 1


def test_pictures_leave_the_global_state_of_matplotlib_alone() -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from ml_playground.analysis.plots import *\n"
        "inline(curves([Curve('a', [Points([1, 2], [1, 2], [1, 2], [1, 2], [2, 1])])]))\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_that_have_no_room_are_left_out_but_not_those_on_the_front() -> None:
    crowd = [Candidate(f"crowded {i}", 2 + i / 1000, 10, 1, 1) for i in range(20)]
    best = [Candidate("short", 1.9, 10, 1, 1), Candidate("long", 1.5, 30, 1, 1)]
    texts = [text.get_text() for text in plots.pareto([*crowd, *best]).axes[0].texts]
    assert {"short", "long"} <= set(texts)
    assert len(texts) < 15
