"""Tiny Shakespeare by character."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.download import TINY_SHAKESPEARE
from ml_playground.data.prepare import prepare_download
from ml_playground.experiments import register


@register("shakespeare_char")
def main(config: PrepareConfig) -> None:
    """Download Tiny Shakespeare and write its characters as tokens."""
    prepare_download(TINY_SHAKESPEARE, config)
