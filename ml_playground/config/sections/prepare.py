"""`[prepare]`: from raw text to token files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ml_playground.config.fields import (
    Section,
    default_from,
    experiment_default,
    known_encoding,
    true_or_names,
)
from ml_playground.config.parts import Part, PartOf, part
from ml_playground.config.registries import SOURCES, SPLITS, TOKENIZERS
from ml_playground.utils.tables import Table, is_table

Packing = Literal["running", "started", "ended"]
"""How a source's texts stand one after the other.

As `running` text; as documents after a start token each; or as documents before a separator each.
"""


class SourceConfig(Part):
    """See `data/sources/base.py`; what of a source others than `prepare` must know.

    Attributes:
        endings: of the names of the files that it reads.
        packing: how its texts stand one after the other.
        default_split: the kind of split where none is stated.
        fields: names of what can be known of a document, in the order in which structure tokens stand before it.
    """

    kind: str = Field("text", description="what the raw text is")

    endings: ClassVar[tuple[str, ...]] = (".txt",)
    packing: ClassVar[Packing] = "running"
    default_split: ClassVar[str] = "position"
    fields: ClassVar[tuple[str, ...]] = ()

    @property
    def tags(self) -> Mapping[str, list[str]]:
        """The tokens that it puts into texts by itself, by the option that asks for them."""
        return {}


class TokenizerConfig(Part):
    """See `data/tokenizers/options.py`; what of a tokenizer others than `prepare` must know.

    Attributes:
        takes_tokens: whether tokens can be added to it, as to a model's.
        is_of_model: whether it is that of a model, which must be named.
    """

    kind: str = Field("char", description="which one")

    takes_tokens: ClassVar[bool] = False
    is_of_model: ClassVar[bool] = False

    @property
    def of_model(self) -> str | None:
        """The model whose tokenizer it is, if it is one's: a folder, or a name on the Hub."""
        return None


class SplitConfig(Part):
    """See `data/splits.py`; what of a split others than `prepare` must know.

    Attributes:
        splits_documents: whether whole documents are split, not running text.
    """

    kind: str = Field("position", description="which one; not stated, `position` for running text, else `hash`")

    splits_documents: ClassVar[bool] = False


class PrepareConfig(Section):
    """From raw text to token files."""

    dataset: str = experiment_default("the experiment's name", "registered preparer that makes the data")
    dataset_dir: Path = experiment_default(
        "`datasets/` in the experiment's folder", "folder for `train.bin`, `val.bin` and `meta.json`"
    )
    raw_dir: Path = default_from(
        "prepare.dataset_dir",
        "folder searched for the files that the source reads, subfolders and links included but nothing hidden; or one "
        "such file",
    )
    encoding: Annotated[str, AfterValidator(known_encoding)] = Field(
        "utf-8",
        description="encoding of the raw text: any that Python knows, or `auto`: for each file UTF-16 or UTF-32 where "
        "it is, else UTF-8 where it decodes as such, else Windows-1252. Text that was clearly read in a wrong one is "
        "refused",
    )
    doc_separator: str | None = Field(
        None,
        min_length=1,
        description="where files hold documents, what is between these, in text files too: one that contains it holds "
        "several. The name of a special token, such as `<|endoftext|>`, means that token here, as it does in a prompt; "
        "within a text it is text like any other. Not stated: the token that ends a text",
    )
    add_structure_tokens: Annotated[bool | list[str], BeforeValidator(true_or_names)] = Field(
        False,
        description="wrap each document in tokens for what is known of it, which the tokenizer of a model learns: all "
        "fields that the source has (`true`), or those in a list of their names",
    )
    max_lost: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the text's characters for which a model's tokenizer may have no token; more is refused, "
        "less is reported",
    )
    source: Annotated[SourceConfig, PartOf(SOURCES, "text")] = part("what the raw text is")
    tokenizer: Annotated[TokenizerConfig, PartOf(TOKENIZERS, "char")] = part("text to tokens")
    split: Annotated[SplitConfig, PartOf(SPLITS, "position")] = part("training and validation text")

    @classmethod
    def completed(cls, stated: Table) -> Table:
        """With the split that goes with the source."""
        source, split = stated.get("source", {}), stated.get("split", {})
        if not is_table(split) or "kind" in split:
            return stated
        options: type[Any] = PartOf(SOURCES, "text").options(source)
        return {**stated, "split": {"kind": options.default_split, **split}}

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, values: Any) -> Any:
        return cls.completed(values) if is_table(values) else values

    @property
    def structure_fields(self) -> tuple[str, ...]:
        """The fields that structure tokens are for."""
        if isinstance(self.add_structure_tokens, list):
            return tuple(self.add_structure_tokens)
        return self.source.fields if self.add_structure_tokens else ()
