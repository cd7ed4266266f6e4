"""`[explore]`: which passages `explore` looks at."""

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt

from ml_playground.config.fields import Section, prompt


class ExploreConfig(Section):
    """Which passages `explore` shows, and how many of their tokens."""

    text: Annotated[str, AfterValidator(prompt)] = Field(
        "",
        description="passage to look at, or `FILE:<path>` for a file's text; empty takes the most surprising passages "
        "of the validation text",
    )
    passages: PositiveInt = Field(4, le=100, description="how many of these to show")
    tokens: PositiveInt = Field(
        256, le=2**16, description="tokens in each of them, at most the model's `block_size`; not those of `text`"
    )
    reach: PositiveInt = Field(
        64, le=2**16, description="how many of the tokens before each one to leave out, one at a time"
    )
