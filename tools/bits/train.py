"""Trains in one checkout, in a process of its own: `python -P train.py CHECKOUT JOBS`.

It stands alone, as nothing but the package of that checkout may be found when it runs. JOBS is a JSON file: a list of
jobs with a `name`, a `folder`, and `spellings`, each of them all steps of the job in one way to write its TOML. A step
is a verb of the command line and the text of its TOML file. Outcomes go to `outcome.json` beside JOBS.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Do all jobs."""
    checkout, jobs = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    import ml_playground

    if Path(ml_playground.__file__).resolve().parents[1] != checkout:
        sys.exit(f"imported {ml_playground.__file__}, which is not in {checkout}")
    outcomes: dict[str, dict[str, Any]] = {}
    for job in json.loads(jobs.read_text()):
        began = time.perf_counter()
        problem = _do(job)
        outcomes[job["name"]] = {"problem": problem, "seconds": round(time.perf_counter() - began, 2)}
        jobs.with_name("outcome.json").write_text(json.dumps(outcomes, indent=1))


def _do(job: dict[str, Any]) -> str | None:
    """Do one job; what went wrong, None where nothing did.

    Where a tree refuses one spelling of the configuration in the first step, the next one is tried.
    """
    folder = Path(job["folder"])
    folder.mkdir(parents=True)
    _print_to(folder / "output.txt")
    problem = "there is nothing to do"
    config = folder / "config.toml"
    for steps in job["spellings"]:
        codes = (_command(verb, config, toml) for verb, toml in steps)
        number, code = next(((number, code) for number, code in enumerate(codes) if code != 0), (-1, 0))
        if code == 0:
            return None
        problem = f"{steps[number][0]} ended with {code}, see {folder / 'output.txt'}"
        if number > 0:
            break
    return problem


def _command(verb: str, config: Path, toml: str) -> object:
    """Run a command with a configuration; its exit code. `bundestag_char` is an experiment that takes any text."""
    from ml_playground.cli import main as command_line

    config.write_text(toml)
    print(f"\n=== {verb}", flush=True)
    try:
        return command_line([verb, "bundestag_char", "--exp-config", str(config)])
    except SystemExit as error:  # an option or a verb that this tree does not have
        return error.code
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _print_to(path: Path) -> None:
    """Have everything that this process prints go to a file, what libraries print too."""
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


if __name__ == "__main__":
    main()
