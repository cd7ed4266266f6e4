"""A run that is looked at: its model, and texts as the model reads them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

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
    """A prompt and what follows it, cut to what the model takes at once.

    Attributes:
        ids: all tokens, after the start token where the data has documents (T,).
        prompt: how many of them are the prompt's.
    """

    ids: list[int]
    prompt: int


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
    """

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    runtime: Runtime
    sampling: SamplingConfig
    seed: int
    turns: Turns

    def passage(self, prompt: str, target: str) -> Passage:
        """The tokens of a prompt and what follows it, which are those of the joined text.

        Raises:
            PromptError: a character is not in the vocabulary.
        """
        ids = self._encode(prompt + target)[: self.model.block_size]
        return Passage(ids, min(len(self._encode(prompt)), len(ids)))

    def _encode(self, text: str) -> list[int]:
        try:
            ids: list[int] = self.tokenizer.encode_prompt(text).tolist()
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise PromptError(f"{text[error.start]!r} is not a character") from error
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
        logits = prefill(self.model, passage.ids[: passage.prompt], self.runtime).logits[0, :count]
        probabilities: npt.NDArray[np.float32] = torch.softmax(logits.float(), dim=-1).cpu().numpy()
        return probabilities

    def response(self, passage: Passage) -> str:
        """How the model continues the prompt, for as many tokens as the passage has after it, or as `[sample]` says.

        It takes a turn for each token, so that others need not wait for all of them.
        """
        if not passage.prompt:
            return ""
        length = len(passage.ids) - passage.prompt or self.sampling.max_new_tokens
        steps = generate(
            self.model,
            passage.ids[: passage.prompt],
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

    def text_bytes(self, ids: Sequence[int]) -> int:
        """The bytes of text that tokens stand for."""
        return sum(len(self.tokenizer.token_bytes(token)) for token in ids if token < self.tokenizer.vocab_size)


def visible(names: Sequence[str]) -> list[str]:
    """Names with blanks made visible; where two are the same, their places are added."""
    shown = ["".join(_VISIBLE.get(character, character) for character in name) for name in names]
    counts = Counter(shown)
    return [f"{name} ({place})" if counts[name] > 1 else name for place, name in enumerate(shown)]
