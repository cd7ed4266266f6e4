"""The tests' end of the server."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
JOBS = int(os.environ.get("FAULTS_JOBS", str(min(4, os.cpu_count() or 1))))
ALL = bool(os.environ.get("FAULTS_ALL"))  # everything, not a sample: the figures of the log


@dataclass
class Row:
    """A line of the table at the end."""

    part: str
    trials: int = 0
    faults: int = 0
    seconds: float = 0.0
    problems: Counter[str] = field(default_factory=Counter[str])


class Farm:
    """Runs trials in processes forked from one that has imported everything."""

    def __init__(self, work: Path, library: Path) -> None:
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "RAYON_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        self.work = work
        self.rows: list[Row] = []
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def preload(self, modules: Sequence[str]) -> None:
        """Have the server import modules, which each trial would import otherwise."""
        self._ask("preload", 1, list(modules))

    def one(self, trial: str, **arguments: Any) -> Any:
        """The result of one trial."""
        (result,) = self._ask(trial, 1, [arguments])
        assert not (isinstance(result, dict) and "bug" in result), result["bug"]
        return result

    def all(self, part: str, trial: str, requests: Sequence[dict[str, Any]]) -> list[str]:
        """Run trials, count them in the row `part`, and return what went wrong, the worst first."""
        began = time.monotonic()
        results = self._ask(trial, JOBS, list(requests))
        row = next((row for row in self.rows if row.part == part), None)
        if row is None:
            self.rows.append(row := Row(part))
        found: list[tuple[str, str]] = []
        for result in results:
            row.faults += result.get("faults", 0)
            found += (
                [("bug", result["bug"])] if "bug" in result else [(kind, what) for kind, what in result["problems"]]
            )
        row.trials += len(results)
        row.seconds += time.monotonic() - began
        row.problems.update(kind for kind, _ in found)
        return [f"{kind}: {what}" for kind, what in sorted(found)]

    def close(self) -> None:
        """End the server."""
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()

    def _ask(self, trial: str, jobs: int, requests: list[Any]) -> list[Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([trial, jobs, requests]).encode() + b"\n")
        self._server.stdin.flush()
        wanted = 1 if trial == "preload" else len(requests)
        results: list[Any] = [None] * wanted
        for _ in range(wanted):
            line = self._server.stdout.readline()
            assert line, "the server of the trials has ended"
            index, result = json.loads(line)
            results[index] = result
        return results
