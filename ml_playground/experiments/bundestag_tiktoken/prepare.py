"""Plenary protocols of the German Bundestag in GPT-2's tokens."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.experiments import register


@register("bundestag_tiktoken")
def main(config: PrepareConfig) -> None:
    """Write the text in `raw_dir` in GPT-2's tokens."""
    prepare_texts(find_texts(config), config)
