"""Draws `time_to_quality.svg` from a table in benchmarks.md: .venv/bin/python docs/plot_time_to_quality.py."""

import re
from pathlib import Path

DOCS = Path(__file__).parent
PICTURE = DOCS / "time_to_quality.svg"
WIDTH, LEFT, ROW, BAR = 760, 190, 44, 16  # pixels; LEFT is for the names


def measured() -> list[tuple[str, float, float]]:
    """Name, seconds of the whole process, seconds of training: the first table under "Time to quality"."""
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    table = text.split("<!-- time-to-quality -->")[1].split("<!-- end of time-to-quality -->")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \| ([\d.]+) \|$", table, re.MULTILINE)
    return [(name, float(whole), float(training)) for name, training, whole in rows]


def draw(path: Path) -> None:
    """Write the picture: two bars for each, in seconds."""
    rows = measured()
    scale = (WIDTH - LEFT - 70) / max(whole for _, whole, _ in rows)
    height = 50 + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '  font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<rect x="190" y="12" width="12" height="12" fill="#4477aa"/>',
        '<text x="208" y="23">whole process, seconds</text>',
        '<rect x="380" y="12" width="12" height="12" fill="#ccbb44"/>',
        '<text x="398" y="23">training alone, seconds</text>',
    ]
    for number, (name, whole, training) in enumerate(rows):
        top = 40 + ROW * number
        parts.append(f'<text x="{LEFT - 10}" y="{top + BAR + 4}" text-anchor="end">{name}</text>')
        for place, (seconds, colour) in enumerate(((whole, "#4477aa"), (training, "#ccbb44"))):
            y = top + place * BAR
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{seconds * scale:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + seconds * scale + 5:.1f}" y="{y + 12}">{seconds:g}</text>')
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    draw(PICTURE)
