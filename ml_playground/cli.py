"""The command line. Nothing heavy is imported before a command needs it, so that help and mistakes show at once."""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ml_playground import experiments
from ml_playground.config.files import project_root
from ml_playground.config.load import load_config
from ml_playground.errors import PlaygroundError
from ml_playground.files import advice, system_error
from ml_playground.hub import use_token_of

_VERBS = {
    "prepare": "make token files from the experiment's text",
    "train": "train, resuming from ckpt_last.pt where there is one",
    "sample": "generate text with the best checkpoint",
    "loop": "prepare, train and sample",
    "merge": "write a fine-tuned model with its adapters merged in, as a folder of its own",
    "export": "write the best model for Hugging Face, llama.cpp and Ollama",
    "plan": "estimate what the training would take, from a few timed steps",
    "describe": "show what the experiment does, and what is there of it already",
}

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
    options = _parser().parse_args(arguments)
    try:
        _run(options)
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


def _run(options: argparse.Namespace) -> None:
    if options.verb == "list":
        all_of_them = experiments.all_experiments()
        width = max(len(experiment.name) for experiment in all_of_them)
        for experiment in all_of_them:
            print(f"{experiment.name:{width}}  {experiment.summary()}")
        return
    experiment = experiments.find(options.experiment)
    path: Path = options.exp_config or experiment.config_path
    config = load_config(
        path,
        name=experiment.name,
        folder=experiment.folder,
        check_devices=options.verb in ("train", "sample", "loop", "plan"),
    )
    use_token_of(project_root(path) / ".env")
    if options.verb == "prepare":
        experiments.prepare(experiment, config.prepare)
    elif options.verb == "export":
        from ml_playground.exporting import export

        export(config)
    elif options.verb == "describe":
        from ml_playground.describe import describe

        print(describe(experiment, config, project_root(path)))
    else:
        from ml_playground import pipeline

        if options.verb == "loop":
            pipeline.loop(experiment, config, project_root(path))
        elif options.verb == "merge":
            pipeline.merge(config)
        elif options.verb == "plan":
            pipeline.plan(config, project_root(path))
        elif options.verb == "train":
            pipeline.train(config, project_root(path))
        else:
            pipeline.sample(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ml-playground", description="Small language-model experiments on your own machine."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="command")
    for verb, description in _VERBS.items():
        command = verbs.add_parser(verb, help=description, description=description)
        command.add_argument("experiment", help="name of an experiment, as `list` shows them, or path of its folder")
        command.add_argument(
            "--exp-config", type=Path, metavar="PATH", help="TOML file to use instead of the experiment's config.toml"
        )
    verbs.add_parser("list", help="list the experiments", description="List the experiments.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
