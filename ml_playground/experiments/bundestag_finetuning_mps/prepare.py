"""Text files or a table of speeches, in the tokens of a model that is to be fine-tuned."""

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.prepare import find_texts, prepare_texts
from ml_playground.experiments import register


@register("bundestag_finetuning_mps")
def main(config: PrepareConfig) -> None:
    """Write the documents in `raw_dir`, and the tokens that they are to the model."""
    prepare_texts(find_texts(config), config)
