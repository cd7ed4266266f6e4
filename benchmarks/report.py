"""Results as tables in `docs/benchmarks.md` and as JSON."""

import json
import platform
import re
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
OUT = ROOT / "out" / "bench"


@dataclass
class Result:
    """One comparison: a table with a row per contender, and what it says."""

    name: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list[list[str]])
    says: list[str] = field(default_factory=list[str])


def median(values: list[float]) -> float:
    """The middle of several rounds."""
    return statistics.median(values)


def rounds(values: list[float], digits: int) -> str:
    """All rounds, as a cell."""
    return ", ".join(f"{value:.{digits}f}" for value in values)


def revision(folder: Path) -> str:
    """The commit that is checked out in a folder, for short; empty if it is no clone."""
    command = ["git", "rev-parse", "--short=8", "HEAD"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.*)", _cpuinfo())
    processor = model[1] if model else platform.processor() or platform.machine()
    return (
        f"{processor}, {torch.get_num_threads()} threads, {platform.system()}, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}"
    )


def write(result: Result, *, nanogpt: Path | None = None, of: str = "") -> None:
    """Print the result, keep it as JSON, and put it in its place in `docs/benchmarks.md`, if it has one there.

    `nanogpt` is the clone that was measured, if one was; `of` is the name of the text if it is not the usual one.
    """
    name = f"{result.name} of {of}" if of else result.name
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    commits = {"ml_playground": revision(ROOT)}
    if nanogpt is not None:
        commits["nanoGPT"] = revision(nanogpt)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(
        json.dumps({**asdict(result), "machine": machine(), "commits": commits, "date": today}, indent=2) + "\n"
    )
    lines = [f"| {' | '.join(cells)} |" for cells in (result.columns, ["---"] * len(result.columns), *result.rows)]
    versions = ", ".join(f"{name} {commit}" for name, commit in commits.items())
    text = "\n".join([f"Measured on {today}: {machine()}; {versions}.", "", *lines, "", *result.says])
    print(f"\n{name}\n\n{text}\n")
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, place, rest = DOCUMENT.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if place:
        DOCUMENT.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""
