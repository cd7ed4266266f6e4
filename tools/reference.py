"""Writes the reference of a TOML file, from finished runs that differ in the seed."""

import argparse
from pathlib import Path

from ml_playground.analysis.reference import Reference, reference_path
from ml_playground.errors import PlaygroundError
from ml_playground.run.opened import Run


def main() -> None:
    """Read the runs, write the file, and print what is expected at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("toml", type=Path, help="TOML file that the runs were trained with, but for the seed")
    parser.add_argument("runs", type=Path, nargs="+", metavar="run", help="run directory")
    options = parser.parse_args()
    try:
        reference = Reference.of([Run.open(path) for path in options.runs])
        reference.write(reference_path(options.toml))
    except PlaygroundError as error:
        parser.error(str(error))
    *_, end = reference.evaluations
    print(f"{reference_path(options.toml)}: step {end.step}, {end.mean:.4f} (sd {end.sd:.4f})")


if __name__ == "__main__":
    main()
