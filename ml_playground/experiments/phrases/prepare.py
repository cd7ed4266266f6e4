"""Short phrases, one per line."""

from pathlib import Path

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import prepare_texts
from ml_playground.experiments import register


@register("phrases")
def main(config: PrepareConfig) -> None:
    """Write the phrases beside this file as tokens, each behind a start token."""
    prepare_texts([Path(__file__).with_name("phrases.txt")], config)
