"""Plenary protocols of the German Bundestag in Qwen2.5's tokens."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.experiments import register


@register("bundestag_qwen15b_lora_mps")
def main(config: PrepareConfig) -> None:
    """Write the protocols in `raw_dir`, and the tokens that they are to the model."""
    prepare_texts(find_texts(config), config)
