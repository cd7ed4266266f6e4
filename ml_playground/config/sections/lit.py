"""`[lit]`: what `lit` shows."""

from pathlib import Path

from pydantic import Field, PositiveInt

from ml_playground.config.fields import Section


class LitConfig(Section):
    """Which runs `lit` shows, and of which texts. It samples as `[sample.sample]` and `[sample.runtime] seed` say."""

    runs: list[Path] = Field(
        [],
        description="run directories to show side by side, or folders of some; where it is empty, "
        "`[sample.runtime] out_dir`",
    )
    examples: PositiveInt = Field(200, le=10**4, description="texts of the validation split, spread evenly over it")
    port: int = Field(
        5432, ge=0, le=65535, description="the page is at `http://127.0.0.1:<port>`; 0 takes any that is free"
    )
