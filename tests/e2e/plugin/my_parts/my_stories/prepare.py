"""Stories beside this file."""

from pathlib import Path

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import prepare_texts
from ml_playground.experiments import register


@register("my_stories")
def main(config: PrepareConfig) -> None:
    """Write the stories as tokens."""
    prepare_texts([Path(__file__).with_name("stories.jsonl")], config)
