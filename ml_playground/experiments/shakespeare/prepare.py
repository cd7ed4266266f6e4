"""Tiny Shakespeare in GPT-2's tokens."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.download import TINY_SHAKESPEARE
from ml_playground.data.prepare import prepare_download
from ml_playground.experiments import register


@register("shakespeare")
def main(config: PrepareConfig) -> None:
    """Download Tiny Shakespeare and write it in GPT-2's tokens."""
    prepare_download(TINY_SHAKESPEARE, config)
