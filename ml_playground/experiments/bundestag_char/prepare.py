"""Plenary protocols of the German Bundestag by character."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.experiments import register


@register("bundestag_char")
def main(config: PrepareConfig) -> None:
    """Write the characters of the text in `raw_dir` as tokens."""
    prepare_texts(find_texts(config), config)
