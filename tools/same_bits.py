"""Whether two versions of the project compute the same, bit for bit.

    python tools/same_bits.py BEFORE [AFTER] [--only NAME ...] [--ignore PATTERN] [--out FOLDER]

BEFORE and AFTER are folders of checkouts, or commits of the repository in which it is run; without AFTER, it is the
checkout of this file. Each trains the small configurations of `tools/bits/configurations.toml` in a process of its own,
on inputs made on the spot; then all weights, metrics and samples are compared. The exit code is 1 if something differs
or failed, 2 if nothing could be compared.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bits.compare import compare_runs
from tools.bits.configurations import Configuration, read_configurations, spellings
from tools.bits.inputs import write_inputs

_HOME = Path(__file__).resolve().parents[1]
_THREADS = "2"


def main() -> int:
    """Train in both versions and compare."""
    options = _options()
    configurations, earlier = read_configurations()
    chosen = _choose(configurations, options.only)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(options.out or scratch).resolve()
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            _give_up(f"{out} is not empty")
        versions = (("before", options.before), ("after", options.after))
        checkouts = [_checkout(version, out / f"checkout-{side}") for side, version in versions]
        write_inputs(out / "inputs")
        outcomes: list[dict[str, dict[str, Any]]] = []
        for (side, version), checkout in zip(versions, checkouts, strict=True):
            began = time.perf_counter()
            outcomes.append(_train(checkout, out / side, _jobs(chosen, earlier, out, side)))
            print(f"{side}: {version}, {time.perf_counter() - began:.0f} s", flush=True)
        same = [_report(each.name, out, outcomes, options.ignore) for each in chosen]
    print(f"{sum(same)} of {len(same)} configurations: same bits")
    return 0 if all(same) else 1


def _give_up(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whether two versions of the project compute the same, bit for bit.")
    parser.add_argument("before", help="folder of a checkout, or a commit of the repository in this folder")
    parser.add_argument("after", nargs="?", default=str(_HOME), help="the same, after the change; not stated, this one")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these configurations (and those that they need)")
    parser.add_argument("--ignore", metavar="PATTERN", help="differences that are meant, such as bits_per_byte")
    parser.add_argument("--out", help="new folder that keeps inputs and runs")
    return parser.parse_args()


def _choose(configurations: dict[str, Configuration], only: Sequence[str] | None) -> list[Configuration]:
    """The configurations to train, in the order of their file, without those whose tokenizer is not at hand."""
    names = set(configurations if only is None else only)
    if unknown := names - configurations.keys():
        _give_up(f"no configuration {', '.join(sorted(unknown))}; there are {', '.join(configurations)}")
    names |= {needed for name in names for needed in configurations[name].needs}
    chosen = [each for each in configurations.values() if each.name in names]
    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        left_out = [each.name for each in chosen if each.needs_tiktoken]
        if left_out:
            print(f"left out, as TIKTOKEN_CACHE_DIR is not set: {', '.join(left_out)}")
        chosen = [each for each in chosen if not each.needs_tiktoken]
    return chosen


def _checkout(version: str, folder: Path) -> Path:
    """The folder of a version: itself, or what a commit holds, written to `folder`."""
    if (Path(version) / "ml_playground").is_dir():
        return Path(version).resolve()
    archive = subprocess.run(["git", "archive", version, "ml_playground"], capture_output=True, check=False)  # noqa: S603, S607 -- the user's own git
    if archive.returncode:
        _give_up(f"{version} is neither the folder of a checkout nor a commit: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as file:
        file.extractall(folder, filter="data")
    return folder


def _jobs(
    chosen: Sequence[Configuration], earlier: Sequence[tuple[str, str]], out: Path, side: str
) -> list[dict[str, Any]]:
    """What `train.py` reads."""
    jobs: list[dict[str, Any]] = []
    for each in chosen:
        folder = out / side / each.name
        places = {"inputs": str(out / "inputs"), "runs": str(out / side), "run": str(folder)}
        ways = [each.steps(options, places) for options in spellings(each.options, earlier)]
        jobs.append({"name": each.name, "folder": str(folder), "spellings": ways})
    return jobs


def _train(checkout: Path, folder: Path, jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Do the jobs in a process that finds the package of `checkout`; what became of each."""
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps(jobs))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), _THREADS)
    settings = {"PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", **threads}
    script = Path(__file__).parent / "bits" / "train.py"
    command = [sys.executable, "-P", str(script), str(checkout), str(folder / "jobs.json")]
    environment = {**os.environ, **settings}
    done = subprocess.run(  # noqa: S603 -- this project's own file
        command, cwd=checkout, env=environment, stdin=subprocess.DEVNULL, check=False
    )
    outcome = folder / "outcome.json"
    if not outcome.exists():
        _give_up(f"training in {checkout} ended with {done.returncode}")
    found: dict[str, dict[str, Any]] = json.loads(outcome.read_text())
    return found


def _report(name: str, out: Path, outcomes: Sequence[dict[str, dict[str, Any]]], ignore: str | None) -> bool:
    """Print how a configuration's runs compare; whether they are the same."""
    for side, each in zip(("before", "after"), outcomes, strict=True):
        problem = each.get(name, {"problem": "the process ended"})["problem"]
        if problem is not None:
            print(f"{name}: failed {side} the change: {problem}")
            return False
    found = compare_runs(out / "before" / name, out / "after" / name)
    if ignore is not None:
        found.ignore(ignore)
    print(f"{name}: {found}", flush=True)
    return not found.differences


if __name__ == "__main__":
    sys.exit(main())
