"""Tiny Shakespeare by character."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import prepare_texts
from ml_playground.data.sources import TINY_SHAKESPEARE, fetch
from ml_playground.experiments import register


@register("shakespeare_char")
def main(config: PrepareConfig) -> None:
    """Download Tiny Shakespeare and write its characters as tokens."""
    prepare_texts([fetch(TINY_SHAKESPEARE)], config)
