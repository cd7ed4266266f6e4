"""A process that imports everything once and forks for each trial. It runs under the preloaded shim.

It reads requests from standard input and answers on standard output, a line of JSON each. A request is
`[trial, jobs, [arguments, ...]]`; the answers are `[index, result]`, as they come.
"""

import importlib
import json
import os
import selectors
import sys
import traceback
import warnings
from typing import Any, BinaryIO

from tests.faults import trials


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin.buffer:
        name, jobs, requests = json.loads(line)
        if name == "preload":
            _preload(requests)
            sys.dont_write_bytecode = True  # of what is imported in trials, beside it
            _answer(answers, 0, None)
        else:
            _run_all(name, jobs, requests, answers)


def _preload(modules: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception:
                continue


def _run_all(name: str, jobs: int, requests: list[dict[str, Any]], answers: BinaryIO) -> None:
    waiting = list(enumerate(requests))[::-1]
    with selectors.DefaultSelector() as running:
        while waiting or running.get_map():
            while waiting and len(running.get_map()) < jobs:
                index, arguments = waiting.pop()
                pid, pipe = _start(name, arguments)
                running.register(pipe, selectors.EVENT_READ, (index, pid, bytearray()))
            for key, _ in running.select():
                index, pid, received = key.data
                assert isinstance(key.fileobj, int)
                if piece := os.read(key.fileobj, 2**16):
                    received += piece
                    continue
                running.unregister(key.fileobj)
                os.close(key.fileobj)
                os.waitpid(pid, 0)
                _answer(answers, index, json.loads(received or '{"bug": "the trial ended without a result"}'))


def _answer(answers: BinaryIO, index: int, result: object) -> None:
    answers.write(json.dumps([index, result]).encode() + b"\n")
    answers.flush()


def _start(name: str, arguments: dict[str, Any]) -> tuple[int, int]:
    """Fork a trial; its process and a pipe that its result comes through."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writes)
        return pid, reads
    os.close(reads)
    try:
        result = getattr(trials, name)(**arguments)
    except BaseException:
        result = {"bug": traceback.format_exc()}
    with os.fdopen(writes, "wb") as file:
        file.write(json.dumps(result).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
