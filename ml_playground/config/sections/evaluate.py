"""`[evaluate]`: how `evaluate` cuts the validation text into windows."""

from pydantic import PositiveInt

from ml_playground.config.fields import Section, default_from


class EvaluateConfig(Section):
    """How `evaluate` cuts the whole validation text, on which it measures checkpoints. By default as training does."""

    context: PositiveInt = default_from(
        "train.data.block_size", "tokens per window, at most the model's `block_size`", le=2**24
    )
    stride: PositiveInt = default_from(
        "evaluate.context",
        "tokens from one window to the next, at most `context`. With fewer, windows overlap: each token is predicted "
        "once, with at least `context` - `stride` tokens before it, and it takes `context` / `stride` times as long",
        le=2**24,
    )
