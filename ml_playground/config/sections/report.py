"""`[report]`: what `report` measures a checkpoint with."""

from pydantic import Field, PositiveInt

from ml_playground.config.fields import Section


class ReportConfig(Section):
    """How much `report` generates and looks at. It samples as `[sample.sample]` and `[sample.runtime] seed` say."""

    num_samples: PositiveInt = Field(100, le=10**5, description="texts to generate")
    batch_size: PositiveInt = Field(16, le=10**4, description="texts generated at once")
    copy_lengths: list[PositiveInt] = Field(
        [8, 16, 32], min_length=1, description="lengths in tokens of passages that are looked up in the training text"
    )
    probe: PositiveInt = Field(
        32,
        le=2**24,
        description="tokens of a document's beginning that the model gets to complete the rest word for word; at most "
        "half of its `block_size` is used",
    )
    documents: PositiveInt = Field(
        100, le=10**6, description="documents (or windows where there are none) of each split to complete"
    )
    passages: PositiveInt = Field(
        1, le=100, description="worst, median and best passages of the validation text to show, of each this many"
    )
