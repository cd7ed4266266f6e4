"""What is looked at in a model of one's own before its first step, and the options that it is given."""

import json
from pathlib import Path

import pytest
import torch

from ml_playground.errors import ConfigError
from ml_playground.inference.load import load_trained
from ml_playground.models.causality import require_causal
from ml_playground.models.kinds import ModelFile
from ml_playground.run.checkpoint import load, save
from ml_playground.run.directory import RunDirectory
from tests.integration.runs import assert_same_state
from tests.project import Project

HEAD = """
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.config.fields import Section
from ml_playground.config.sections import ModelConfig
from ml_playground.models.base import LanguageModel


class Mine(LanguageModel):
    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.block_size, self.vocab_size = config.block_size, vocab_size
        width = config.n_embd
        self.embed = nn.Embedding(vocab_size, width)
        self.head = nn.Linear(width, vocab_size)
        self.make(width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(ids)))

"""
BUILD = "\n\nbuild = Mine\n"
CONV = """
    def make(self, width):
        self.conv = nn.Conv1d(width, width, {kernel}, dilation={dilation}, padding=0)
        {after}

    def mix(self, x):
        return x + self.conv(F.pad(x.transpose(1, 2), {pad})).transpose(1, 2)
"""
SEES_THE_FUTURE = {
    "padded on both sides": CONV.format(kernel=3, dilation=1, pad=(1, 1), after="pass"),
    "padded on the right": CONV.format(kernel=2, dilation=1, pad=(0, 1), after="pass"),
    "far ahead": CONV.format(kernel=2, dilation=9, pad=(0, 9), after="pass"),
    "beginning at zero": CONV.format(
        kernel=3, dilation=1, pad=(1, 1), after="nn.init.zeros_(self.conv.weight); nn.init.zeros_(self.head.weight)"
    ),
    "attention without a mask": """
    def make(self, width):
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True, dropout=0.5)

    def mix(self, x):
        return x + self.attention(x, x, x)[0]
""",
    "within pieces": """
    def make(self, width):
        pass

    def mix(self, x):
        pieces = F.pad(x, (0, 0, 0, -x.shape[1] % 4)).unflatten(1, (-1, 4))
        return x + pieces.mean(dim=2, keepdim=True).expand_as(pieces).flatten(1, 2)[:, : x.shape[1]]
""",
    "a norm over positions": """
    def make(self, width):
        self.norm = nn.GroupNorm(1, width)

    def mix(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)
""",
    "one more than the last": """
    def make(self, width):
        pass

    def mix(self, x):
        return torch.cat((x[:, 1:], x[:, -1:]), dim=1)
""",
}
SEES_THE_PAST = {
    "padded on the left": CONV.format(kernel=3, dilation=2, pad=(4, 0), after="pass"),
    "dropout": """
    def make(self, width):
        self.drop = nn.Dropout(0.5)

    def mix(self, x):
        return self.drop(x)
""",
    "batch norm": """
    def make(self, width):
        self.norm = nn.BatchNorm1d(width)

    def mix(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)
""",
    "noise": """
    def make(self, width):
        pass

    def mix(self, x):
        return x + torch.randn_like(x)
""",
    "hidden ids": """
    def make(self, width):
        self.hidden = torch.zeros(self.vocab_size)
        self.hidden[3] = -torch.inf

    def mix(self, x):
        return x

    def forward(self, ids):
        return self.head(self.embed(ids)) + self.hidden
""",
    "sums of the past": """
    def make(self, width):
        pass

    def mix(self, x):
        return x.cumsum(dim=1)
""",
}


def write(folder: Path, text: str) -> Path:
    path = folder / "model.py"
    path.write_text(HEAD + text + BUILD)
    return path


def check(path: Path, block_size: int = 32, vocab_size: int = 20) -> None:
    args = {"n_embd": 8, "n_head": 2, "block_size": block_size, "vocab_size": vocab_size, "file": "model.py"}
    require_causal(ModelFile(args, path).build(), path)


@pytest.mark.parametrize("name", SEES_THE_FUTURE)
def test_a_model_that_sees_the_future_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="it sees the tokens that it should predict"):
        check(write(tmp_path, SEES_THE_FUTURE[name]))


@pytest.mark.parametrize("name", SEES_THE_PAST)
def test_a_model_that_sees_the_past_is_not(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, SEES_THE_PAST[name])
    for block_size in (1, 2, 3, 5, 32, 300):
        check(path, block_size)
    check(path, vocab_size=4)


@pytest.mark.parametrize("block_size", [2, 3, 4, 129])
def test_short_and_long_contexts_are_looked_at_too(tmp_path: Path, block_size: int) -> None:
    with pytest.raises(ConfigError, match="it sees the tokens that it should predict"):
        check(write(tmp_path, SEES_THE_FUTURE["padded on both sides"]), block_size)


@pytest.mark.parametrize("kept", ["[:, -1]", "[0]", ".sum()"])
def test_logits_of_another_shape_are_refused(tmp_path: Path, kept: str) -> None:
    path = write(tmp_path, SEES_THE_PAST["dropout"])
    path.write_text(path.read_text().replace("self.embed(ids)))", f"self.embed(ids))){kept}", 1))
    with pytest.raises(ConfigError, match="not \\(B, T, vocab_size\\)"):
        check(path)


def test_a_model_that_remembers_earlier_calls_is_refused(tmp_path: Path) -> None:
    state = """
    def make(self, width):
        self.calls = 0

    def mix(self, x):
        self.calls += 1
        return x * self.calls
"""
    with pytest.raises(ConfigError, match="gives different logits for the same tokens when called again"):
        check(write(tmp_path, state))


def test_steps_that_differ_from_the_whole_are_refused(tmp_path: Path) -> None:
    steps = """
    def extend(self, ids, cache):
        cache.append(ids)
        return self({seen})[:, -1]
"""
    past = SEES_THE_PAST["sums of the past"]
    check(write(tmp_path, past + steps.format(seen="cache.ids")))
    with pytest.raises(ConfigError, match="its extend and its forward disagree"):
        check(write(tmp_path, past + steps.format(seen="ids")))


def test_steps_of_a_built_in_model_beside_another_forward_are_warned_of(project: Project) -> None:
    (project.folder / "model.py").write_text(
        "from ml_playground.models.transformer import Transformer\n"
        "class Odd(Transformer):\n    def forward(self, ids): return -super().forward(ids)\n"
        "build = Odd\n"
    )
    project.configure({"train.model.file": '"tiny/model.py"'})
    project.ok("prepare")
    assert "! [train.model] file: tiny/model.py: its extend and its forward disagree" in project.ok("train").out


def test_training_is_told_at_its_start_and_nothing_is_written(project: Project) -> None:
    write(project.folder, SEES_THE_FUTURE["padded on both sides"])
    project.configure({"train.model.file": '"tiny/model.py"'})
    project.ok("prepare")
    outcome = project.run("train")
    assert outcome.code == 2
    assert "it sees the tokens that it should predict" in outcome.err
    assert not list(project.out.glob("*.pt"))


def test_looking_changes_no_bit_of_the_training(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, name in enumerate(("batch norm", "dropout")):
        write(project.folder, SEES_THE_PAST[name])
        project.configure({"train.model.file": '"tiny/model.py"', "train.runtime.out_dir": f'"tiny/out/a{index}"'})
        project.ok("prepare")
        project.ok("train")
        with monkeypatch.context() as patch:
            patch.setattr("ml_playground.models.causality.require_causal", lambda model, file: None)  # noqa: ARG005
            project.configure({"train.runtime.out_dir": f'"tiny/out/b{index}"'})
            project.ok("train")
        one, other = (load(project.folder / "out" / f"{each}{index}" / "ckpt_last.pt") for each in "ab")
        assert_same_state(one, other)


BUFFER = """
    def make(self, width):
        self.register_buffer("turn", nn.init.orthogonal_(torch.empty(width, width)), persistent=False)
        self.scale = nn.init.constant_(torch.empty(3), 2.0)

    def mix(self, x):
        assert self.scale.tolist() == [2, 2, 2]
        return x @ self.turn
"""


def test_what_a_model_draws_beside_its_weights_comes_back(project: Project) -> None:
    """A buffer that is not a part of its state by its own code was garbage, or drawn again."""
    path = write(project.folder, BUFFER)
    project.configure({"train.model.file": '"tiny/model.py"', "train.optim.learning_rate": "0.1"})
    project.ok("prepare")
    project.ok("train")
    ids = torch.arange(8)[None]
    torch.manual_seed(99)
    again = load_trained(RunDirectory(project.out), ModelFile({}, path)).model
    checkpoint = load(project.out / "ckpt_best.pt")
    assert torch.equal(dict(again.named_buffers())["turn"], checkpoint.model["turn"])
    torch.testing.assert_close(again.get_buffer("turn") @ again.get_buffer("turn").T, torch.eye(16))
    other = ModelFile(checkpoint.origin.model_args, path).restore(checkpoint.model)
    assert torch.equal(again.eval()(ids), other.eval()(ids))


OPTIONS = """
    def make(self, width):
        pass

    def mix(self, x):
        return x * self.factor


class Options(Section):
    factor: float = 1.0
    names: list[str] = []
    deep: dict[str, int] = {}


def build(config, vocab_size):
    options = Options.model_validate(config.options)
    model = Mine(config, vocab_size)
    model.factor = options.factor
    return model
"""


@pytest.fixture
def optional(project: Project) -> Project:
    (project.folder / "model.py").write_text(HEAD + OPTIONS)
    project.configure({"train.model.file": '"tiny/model.py"', "train.model.options.factor": "3.0"})
    project.ok("prepare")
    return project


def test_options_reach_the_model_and_the_checkpoint(optional: Project) -> None:
    optional.configure({"train.model.options.names": '["a", "~/b", "/c"]', "train.model.options.deep": "{ x = 1 }"})
    optional.ok("train")
    args = load(optional.out / "ckpt_last.pt").origin.model_args
    assert args["options"] == {"factor": 3.0, "names": ["a", "~/b", "/c"], "deep": {"x": 1}}
    model = load_trained(RunDirectory(optional.out), ModelFile({}, optional.folder / "model.py")).model
    assert model.factor == 3.0
    said = optional.ok("describe").out
    assert '[train.model.options]\nnames = ["a", "~/b", "/c"]\nfactor = 3.0\n' in said
    assert "[train.model.options.deep]\nx = 1\n" in said
    assert json.loads((optional.out / "run.json").read_text())["config"]["train"]["model"]["options"] == args["options"]


def test_the_checkpoints_options_win_and_the_difference_is_printed(optional: Project) -> None:
    optional.configure({"train.model.options.names": '["a"]'})
    optional.ok("train")
    text = optional.config.read_text().replace('names = ["a"]\n', "").replace("factor = 3.0", "factor = 2.0")
    optional.config.write_text(text)
    optional.configure({"train.runtime.max_iters": "8", "train.model.options.deep": "{ x = 1 }"})
    said = optional.ok("train").out
    assert "[train.model.options] factor = 3.0 from ckpt_last.pt (the configuration says 2.0)" in said
    assert '[train.model.options] names = ["a"] from ckpt_last.pt (the configuration says null)' in said
    assert "[train.model.options.deep] x = null from ckpt_last.pt (the configuration says 1)" in said
    assert load(optional.out / "ckpt_last.pt").origin.model_args["options"]["factor"] == 3.0


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("options.fctor", "1.0", "[train.model.options] fctor: Extra inputs are not permitted"),
        ("options.factor", '"x"', "[train.model.options] factor: Input should be a valid number"),
        ("options.factor", "nan", "[train.model.options]: factor must be a finite number, not nan"),
        ("options.deep", "{ a = [1, { b = -inf }] }", "[train.model.options]: deep.a.1.b must be a finite number"),
        ("options.when", "2020-01-01", "[train.model.options]: when must be text, a number, true or false, a list"),
        ("options", "3", "[train.model] options: must be a table, not 3"),
    ],
)
def test_options_that_mean_nothing_are_refused(optional: Project, key: str, value: str, problem: str) -> None:
    text = optional.config.read_text().replace("[train.model.options]\nfactor = 3.0\n", "")
    optional.config.write_text(text)
    optional.configure({f"train.model.{key}": value})
    outcome = optional.run("train")
    assert outcome.code == 2
    assert problem in outcome.err


def test_options_without_a_model_of_ones_own_are_refused(project: Project) -> None:
    project.configure({"train.model.options.width": "3"})
    outcome = project.run("describe")
    assert outcome.code == 2
    assert "[train.model.options]: means nothing without file" in outcome.err


def test_weights_that_are_not_numbers_are_one_message(project: Project) -> None:
    project.ok("prepare")
    project.ok("train")
    path = project.out / "ckpt_best.pt"
    checkpoint = load(path)
    checkpoint.model["transformer.ln_f.weight"][0] = torch.nan
    save(path, checkpoint)
    outcome = project.run("sample")
    assert outcome.code == 2
    assert "the model's logits are not finite: its weights are unusable" in outcome.err
    assert "Traceback" not in outcome.err
