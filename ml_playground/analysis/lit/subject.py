"""A run that is looked at: its model, and texts as the model reads them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ml_playground.analysis.examples import Example
from ml_playground.analysis.lit.turns import Turns
from ml_playground.analysis.scores import Scores, score_ids, token_text
from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import PromptError
from ml_playground.inference.generate import generate, prefill
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime, mix_seed

_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}


@dataclass(frozen=True)
class Passage:
    """A prompt and what follows it.

    Attributes:
        ids: the tokens of both together, cut to `block_size` and after the start token where the data has documents
            (T,).
        prompt: those of the prompt by itself, not cut (P,). A token of `ids` may span the end of the prompt.
        target: index in `ids` of the first token that reaches beyond the prompt; T where there is none.
    """

    ids: list[int]
    prompt: list[int]
    target: int

    @property
    def is_divided(self) -> bool:
        """Whether the prompt ends where a token ends, and another one follows."""
        return self.target < len(self.ids) and self.ids[: self.target] == self.prompt


class Known(NamedTuple):
    """A text of the data, or one that a model has written.

    Attributes:
        ids: its tokens in training or sampling, which may be others than those of its text alone.
        has_names: whether names of special tokens in it mean these tokens, as in prompts.
    """

    ids: Sequence[int]
    has_names: bool


@dataclass(frozen=True)
class Subject:
    """A run that is looked at.

    Attributes:
        name: what the page calls it.
        model: in evaluation mode, on the runtime's device.
        tokenizer: text to ids and back.
        runtime: device and number format.
        sampling: how it continues prompts.
        seed: that of the continuations.
        turns: to be held by whoever computes with the model.
        known: what is shown from the start, by its text; all else was edited in the page.
    """

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    runtime: Runtime
    sampling: SamplingConfig
    seed: int
    turns: Turns
    known: Mapping[str, Known] = field(default_factory=dict[str, Known])

    def passage(self, prompt: str, target: str) -> Passage:
        """The tokens of a prompt and what follows it.

        Those of `known` texts are kept. In others the names of special tokens mean these tokens.

        Raises:
            PromptError: a character is not in the vocabulary.
        """
        known = self.known.get(prompt + target)
        has_names = known is None or known.has_names
        whole = self.encode(prompt + target, has_names=has_names) if known is None else list(known.ids)
        alone = self.encode(prompt, has_names=has_names)
        end = len(alone)
        if whole[:end] != alone:
            size = self.text_bytes(alone)
            end = sum(until <= size for until in accumulate(map(self._size, whole)))
            if known is not None and self.text_bytes(whole[:end]) == size:
                alone = whole[:end]  # a window may begin within what would be one token
        ids = whole[: self.model.block_size]
        return Passage(ids, alone, min(end, len(ids)))

    def encode(self, text: str, *, has_names: bool) -> list[int]:
        """The tokens of a text, after the start token where the data has documents.

        Args:
            text: what to encode.
            has_names: see `Known`. Otherwise a tokenizer may leave characters out, as it does in training.

        Raises:
            PromptError: a character is not in the vocabulary.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise PromptError(f"{text[error.start]!r} is not a character") from error
        encode = self.tokenizer.encode_prompt if has_names else self.tokenizer.encode
        ids: list[int] = encode(text).tolist()
        return ids if self.tokenizer.start_id is None else [self.tokenizer.start_id, *ids]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """How tokens are shown."""
        return [token_text(self.tokenizer, token) for token in ids]

    def labels(self) -> list[str]:
        """A name for each id of the vocabulary, all different and visible."""
        return visible(self.tokens(range(self.tokenizer.vocab_size)))

    def scores(self, passage: Passage) -> Scores | None:
        """What the model makes of each token but the first; None where there is none to predict."""
        return score_ids(self.model, passage.ids, self.runtime) if len(passage.ids) > 1 else None

    def next_token(self, passage: Passage) -> npt.NDArray[np.float32]:
        """The probabilities of the token after the prompt (V,); without a prompt all are the same."""
        count = self.tokenizer.vocab_size  # ids beyond it are padding
        if not passage.prompt:
            return np.full(count, 1 / count, dtype=np.float32)
        logits = prefill(self.model, passage.prompt, self.runtime).logits[0, :count]
        probabilities: npt.NDArray[np.float32] = torch.softmax(logits.float(), dim=-1).cpu().numpy()
        return probabilities

    def response(self, passage: Passage) -> str:
        """How the model continues the prompt, for as many tokens as the passage has after it, or as `[sample]` says.

        It takes a turn for each token, so that others need not wait for all of them.
        """
        if not passage.prompt:
            return ""
        length = len(passage.ids) - passage.target or self.sampling.max_new_tokens
        steps = generate(
            self.model,
            passage.prompt,
            self.tokenizer,
            self.sampling.model_copy(update={"max_new_tokens": min(length, self.sampling.max_new_tokens)}),
            runtime=self.runtime,
            seeds=[mix_seed(self.seed, 0)],
        )
        made: list[int] = []
        while True:
            with self.turns:
                step = next(steps, None)
            if step is None:
                return self.tokenizer.decode(made)
            made += [token for token in step if token is not None]

    def text_bytes(self, ids: Iterable[int]) -> int:
        """The bytes of text that tokens stand for."""
        return sum(map(self._size, ids))

    def _size(self, token: int) -> int:
        return len(self.tokenizer.token_bytes(token)) if token < self.tokenizer.vocab_size else 0


def acquainted(
    subjects: Sequence[Subject], examples: Sequence[Example], tokenizer: Tokenizer
) -> tuple[list[Subject], list[Example]]:
    """The runs, which then know some texts, and those of the texts that are shown.

    A text is left out where a run has no token for one of its characters, or nothing to predict in it: the page asks
    each run about all texts at once.

    Args:
        subjects: the runs.
        examples: the texts.
        tokenizer: the one of their ids.
    """
    same = [subject.tokenizer.describe() == tokenizer.describe() for subject in subjects]
    known = [dict(subject.known) for subject in subjects]
    shown: list[Example] = []
    for example in examples:
        found = [_known(*each, example) for each in zip(subjects, same, strict=True)]
        whole = [each for each in found if each is not None and len(each.ids) > 1]
        if len(whole) == len(subjects):
            shown.append(example)
            for texts, each in zip(known, whole, strict=True):
                texts[example.text] = each
    return [replace(subject, known=texts) for subject, texts in zip(subjects, known, strict=True)], shown


def _known(subject: Subject, is_own: bool, example: Example) -> Known | None:
    """A text as a run reads it, None if it cannot; `is_own` is whether the text's ids are of the run's tokenizer."""
    has_names = example.kind == "sample"
    if is_own:
        return Known(example.ids, has_names)
    try:
        ids = subject.encode(example.text, has_names=has_names)
    except PromptError:
        return None
    return None if subject.tokenizer.lost(example.text, np.array(ids)) else Known(ids, has_names)


def visible(names: Sequence[str]) -> list[str]:
    """Names with blanks made visible; where two are the same, their places are added."""
    shown = ["".join(_VISIBLE.get(character, character) for character in name) for name in names]
    counts = Counter(shown)
    return [f"{name} ({place})" if counts[name] > 1 else name for place, name in enumerate(shown)]
