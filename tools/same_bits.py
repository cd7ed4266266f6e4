"""Whether two checkouts compute the same: .venv/bin/python tools/same_bits.py BEFORE AFTER [--only NAME ...].

BEFORE and AFTER are commits or folders. In each, every configuration of `tools/same_bits.toml` is prepared, trained,
evaluated and sampled; then the token files, weights, metrics and samples of the two are compared.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONFIGURATIONS = Path(__file__).with_suffix(".toml")
RENAMED = {
    "loss": "train/loss",
    "learning_rate": "train/lr",
    "val_loss": "val/loss",
    "bits_per_byte": "val/bits_per_byte",
}
"""Metrics that had another name before."""

IGNORED = {
    "tokens_per_sec": "a speed",
    "step_time": "a time",
    "bits_per_byte": "counts the bytes of the raw text since 0.2, and not those that tokens stand for",
}
"""Parts of the names of metrics that are not compared, and why."""


def main() -> int:
    """Compare; the exit status is 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before")
    parser.add_argument("after", nargs="?", default=str(ROOT))
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--run-in", type=Path, help=argparse.SUPPRESS)  # what the processes of the checkouts are given
    options = parser.parse_args()
    if options.run_in is not None:
        return train_all(options.run_in, options.only)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = [scratch / "before", scratch / "after"]
        trees = [checkout(tree, scratch, stack) for tree in (options.before, options.after)]
        for folder, tree in zip(folders, trees, strict=True):
            write_texts(folder)
            in_tree(tree, folder, options.only)
        names = [name for name in configurations() if not options.only or name in options.only]
        differ = [report(name, *(folder / "e" / "out" / name for folder in folders)) for name in names]
        return int(any(differ))


def checkout(tree: str, scratch: Path, stack: ExitStack) -> Path:
    """The folder of a checkout; of a commit it is one that is removed at the end."""
    if Path(tree).is_dir():
        return Path(tree).resolve()
    folder = scratch / f"tree-{tree}"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run(  # noqa: S603 -- git, with what the user names
        [*git, "add", "--quiet", "--detach", str(folder), tree], check=True
    )
    stack.callback(subprocess.run, [*git, "remove", "--force", str(folder)], check=True)
    return folder


def in_tree(tree: Path, folder: Path, only: list[str]) -> None:
    """Train all configurations in a process that imports the package of `tree`."""
    command = [sys.executable, __file__, str(tree), "--run-in", str(folder), "--only", *only]
    settings = {"PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    subprocess.run(  # noqa: S603 -- this file
        command, check=True, cwd=tree, env={**os.environ, **settings}
    )


def configurations() -> dict[str, Any]:
    """The tables of `same_bits.toml`."""
    return tomllib.loads(CONFIGURATIONS.read_text(encoding="utf-8"))


def write_texts(folder: Path) -> None:
    """An experiment with texts that are the same each time: lines, several files, and speeches."""
    experiment = folder / "e"
    (experiment / "files").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    words = re.findall(r"\S+", "the cat dog fox owl sits runs sings in a barn, rain. park snow! Größe")
    picked = [[(7 * line + place * (line % 5 + 1)) % len(words) for place in range(9)] for line in range(600)]
    lines = [" ".join(words[index] for index in line) for line in picked]
    (experiment / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number in range(20):
        text = "\n".join(lines[number * 20 : (number + 1) * 20])
        (experiment / "files" / f"{number:02}.txt").write_text(text, encoding="utf-8")


def train_all(folder: Path, only: list[str]) -> int:
    """Run the configurations with the package that this process imports."""
    import ml_playground
    from ml_playground.cli import main as command_line

    assert Path(ml_playground.__file__).is_relative_to(Path.cwd()), "another checkout was imported"
    from tests.integration.finetuning import MODELS, speech_table, write_model

    experiment = folder / "e"
    (experiment / "speeches.csv").write_text(speech_table(), encoding="utf-8")
    prepare = Path.cwd() / "ml_playground" / "experiments" / "bundestag_char" / "prepare.py"
    (experiment / "prepare.py").write_text(prepare.read_text(encoding="utf-8"), encoding="utf-8")
    (experiment / "config.toml").write_text("", encoding="utf-8")
    for kind in MODELS:
        write_model(folder / kind, kind)
    os.chdir(folder)
    for name, configuration in configurations().items():
        if only and name not in only:
            continue
        path = experiment / f"{name}.toml"
        with (folder / f"{name}.log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
            for spelling in dict.fromkeys([configuration["toml"], configuration.get("before", configuration["toml"])]):
                path.write_text(f"extends = false\n{spelling}\n{COMMON.format(name=name)}", encoding="utf-8")
                (experiment / "own.py").write_text(OWN_MODEL, encoding="utf-8")
                if command_line(["prepare", "e", "--exp-config", str(path)]) == 0:
                    break
            for verb in configuration.get("verbs", ["train", "sample"]):
                command_line([verb, "e", "--exp-config", str(path)])
    return 0


COMMON = """
[sample.runtime]
device = "cpu"
[sample.sample]
start = "the"
num_samples = 3
batch_size = 2
max_new_tokens = 40
top_k = 5
"""

OWN_MODEL = """
import torch
from torch import nn
try:
    from ml_playground.models.base import LanguageModel
except ImportError:
    from ml_playground.models import LanguageModel

class Own(LanguageModel):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size, self.vocab_size = config.block_size, vocab_size
        self.table = nn.Embedding(vocab_size, 16)
        self.head = nn.Linear(16, vocab_size)

    def forward(self, ids):
        return self.head(torch.tanh(self.table(ids)))

def build(config, vocab_size):
    return Own(config, vocab_size)
"""


def report(name: str, before: Path, after: Path) -> bool:
    """Print how two runs compare; whether they differ."""
    differences = list(compare(before, after))
    counts = f"{len(list(before.rglob('*.pt')))} checkpoints, {len(rows(before, 'metrics'))} rows"
    counts += f", {len(rows(before, 'samples'))} samples"
    print(f"{name}: {counts}: {'same bits' if not differences else '; '.join(differences[:3])}", flush=True)
    return bool(differences)


def compare(before: Path, after: Path) -> Iterator[str]:
    """What differs between two run directories, the data beside them included."""
    if not (before / "ckpt_last.pt").is_file():
        yield f"{before} has no ckpt_last.pt: see {before.parents[2] / before.name}.log"
        return
    data = [path.parents[1] / "data" / path.name for path in (before, after)]
    for name in ("train.bin", "val.bin"):
        one, other = (folder / name for folder in data)
        if not other.is_file() or one.read_bytes() != other.read_bytes():
            yield f"{name} differs"
    for path in sorted([*before.rglob("*.pt"), *before.rglob("*.safetensors")]):
        other = after / path.relative_to(before)
        if not other.is_file():
            yield f"{path.relative_to(before)} is missing"
        else:
            yield from compare_tensors(path.name, tensors(path), tensors(other))
    yield from compare_rows(rows(before, "metrics"), rows(after, "metrics"))
    texts = [[row["text"] for row in rows(folder, "samples")] for folder in (before, after)]
    if texts[0] != texts[1]:
        yield "samples differ"


def tensors(path: Path) -> dict[str, Any]:
    """All weights in a file by name: of a checkpoint's model and its averages."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return dict(load_file(path))
    values = torch.load(path, map_location="cpu", weights_only=True)
    found = {f"{part}.{name}": value for part in ("model", "ema") for name, value in (values.get(part) or {}).items()}
    for number, state in (values["optimizer"]["state"]).items():
        found |= {f"optimizer.{number}.{key}": value for key, value in state.items() if isinstance(value, torch.Tensor)}
    return found


def compare_tensors(file: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """The first tensor that differs in a bit."""
    if before.keys() != after.keys():
        yield f"{file}: {sorted(before.keys() ^ after.keys())[0]} is in one only"
        return
    for name, one in before.items():
        other = after[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            yield f"{file}: {name} is {other.dtype} {tuple(other.shape)}, not {one.dtype} {tuple(one.shape)}"
            return
        if one.numpy(force=True).tobytes() != other.numpy(force=True).tobytes():
            yield f"{file}: {name} differs by up to {float((one.double() - other.double()).abs().max()):.1e}"
            return


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    """The lines of a JSON lines file."""
    path = run / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def compare_rows(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    """The first metric that differs; those that are only in the second have been added."""
    if len(before) != len(after):
        yield f"{len(after)} rows of metrics, not {len(before)}"
        return
    for one, other in zip(before, after, strict=True):
        for key, value in one.items():
            if other.get(key) != value and not any(part in key for part in IGNORED):
                yield f"step {one['step']}: {key} is {other.get(key)}, not {value}"
                return


if __name__ == "__main__":
    sys.exit(main())
