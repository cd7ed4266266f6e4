"""Speeches of the German Bundestag with their speakers, in Gemma's tokens."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.experiments import register


@register("speakger")
@register("gemma_finetuning_mps")
def main(config: PrepareConfig) -> None:
    """Write the speeches of the table in `raw_dir`, and the tokens that they are to the model."""
    prepare_texts(find_texts(config), config)
