"""Write a page that shows what the best checkpoint of a run does at each token of some passages."""

import sys
from typing import Any

from ml_playground.analysis.explore import VERSION, Passage, explore, surprising
from ml_playground.analysis.explore_page import as_html
from ml_playground.analysis.subject import Subject
from ml_playground.commands.best import Best
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.errors import PromptError
from ml_playground.experiments import Experiment
from ml_playground.inference.prompt import encode_prompt, read_prompt
from ml_playground.runtime import memory_errors_explained
from ml_playground.utils.paths import display_path

_PAGE = "explore.html"
_TEXT = "[explore] text"


def run(experiment: Experiment, config: ExperimentConfig) -> None:  # noqa: ARG001 -- as all verbs
    """Look inside the model."""
    write_page(config)


@memory_errors_explained()
def write_page(config: ExperimentConfig) -> None:
    """Write `explore.html` and `explore.json`, unless they are up to date.

    Raises:
        CheckpointError: there is no sound checkpoint, or it was trained on other data.
        PromptError: `[explore] text` cannot be encoded, or is too short or too long.
    """
    best, text = Best.find(config), None
    if config.explore.text:
        text = read_prompt(config.explore.text, _TEXT)
        encode_prompt(text, best.dataset.tokenizer, _TEXT)
    settings = _settings(config, text)
    record = best.run.exploration / "explore.json"
    page = record.with_name(_PAGE)
    if best.is_described_by(record, settings, (_PAGE,)):
        print(f"{display_path(page)} is up to date")
        return
    source, subject = best.load(config, settings)
    name, options = best.run.name, config.explore
    if text is None:
        _say("the validation text")
        passages, loss = surprising(subject, options.passages, options.tokens)
    else:
        passages, loss = [_chosen(text, subject)], None
    made = explore(name, source, subject, passages, options.reach, _say, validation_loss=loss)
    best.keep("explore", record, made.as_json(), {_PAGE: as_html(made)})
    print(f"wrote {display_path(page)}")


def _say(part: str) -> None:
    print(f"measuring: {part}", file=sys.stderr)


def _settings(config: ExperimentConfig, text: str | None) -> dict[str, Any]:
    """What decides what the page shows: its version and the options."""
    options, train = config.explore, config.train
    if text is not None:
        return {"version": VERSION, "text": text, "reach": options.reach, "dtype": train.runtime.dtype}
    return {
        "version": VERSION,
        "passages": options.passages,
        "tokens": options.tokens,
        "reach": options.reach,
        "block_size": train.data.block_size,
        "eval_iters": train.runtime.eval_iters,
        "dtype": train.runtime.dtype,
    }


def _chosen(text: str, subject: Subject) -> Passage:
    """The text as a passage. Raises PromptError if it is too short or too long."""
    ids, most = encode_prompt(text, subject.dataset.tokenizer, _TEXT), subject.model.block_size + 1
    if len(ids) < 2:
        raise PromptError(f"{_TEXT}: a single token, which nothing predicts. Make it longer.")
    if len(ids) > most:
        raise PromptError(f"{_TEXT}: {len(ids):,} tokens, of which the model takes at most {most:,}. Make it shorter.")
    return Passage(ids)
