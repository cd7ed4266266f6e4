"""The command line. Nothing heavy is imported before a command needs it, so that help and mistakes show at once."""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ml_playground import commands
from ml_playground.errors import PlaygroundError
from ml_playground.utils.files import advice, system_error

_SPINS = "1000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is success; 2 a mistake that a message explains; 130 and 143 a stop by SIGINT and SIGTERM; 141 that the reader of
    the output has left; 1, with a traceback, is a bug.
    """
    if sys.platform == "win32":
        print("ml_playground runs on Linux and macOS. On Windows, use it in WSL: `wsl --install`.", file=sys.stderr)
        return 2
    _print_what_can_be_shown()
    _let_idle_threads_sleep()
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(parser)
    options = parser.parse_args(arguments)
    try:
        commands.run(options.verb, options)
    except PlaygroundError as error:
        print(_as_typed_here(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # a bug, and shown as one, unless the system refused something
        if (cause := system_error(error)) is None:
            raise
        print(
            f"{_as_typed_here(os.fsdecode(cause.filename or 'the disk'))}: {cause.strerror}. {advice(cause)}",
            file=sys.stderr,
        )
        return 2
    return 0


def _print_what_can_be_shown() -> None:
    """Have a question mark stand for characters that a model writes and the terminal lacks."""
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        cast("io.TextIOWrapper", stdout).reconfigure(errors="replace")


def _let_idle_threads_sleep() -> None:
    """Have OpenMP's threads wait for work without taking a core from others for long.

    libgomp reads this when torch loads it. By itself it spins for milliseconds, in which a thread with work may have to
    wait for a core: beside other programs a step took up to 40 times as long (docs/LOG.md).
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def _as_typed_here(message: str) -> str:
    """A message whose paths below the current folder are given as one would type them."""
    return re.sub(rf"(?<![^\s\"'(]){re.escape(str(Path.cwd()))}{re.escape(os.sep)}", "", message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ml-playground", description="Small language-model experiments on your own machine."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="command")
    for name, verb in commands.VERBS.items():
        verb.add_arguments(verbs.add_parser(name, help=verb.help, description=verb.help))
    return parser


if __name__ == "__main__":
    sys.exit(main())
