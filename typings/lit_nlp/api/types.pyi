from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

JsonDict = dict[str, Any]

class LitType:
    required: bool

Spec = Mapping[str, LitType]

class TextSegment(LitType):
    def __init__(self, *, required: bool = True) -> None: ...

class GeneratedText(TextSegment):
    def __init__(self, *, parent: str | None = None) -> None: ...

class GeneratedTextCandidates(LitType):
    def __init__(self, *, parent: str | None = None) -> None: ...

class Tokens(LitType):
    def __init__(self, *, parent: str | None = None, token_prefix: str | None = "##") -> None: ...

class TokenScores(LitType):
    def __init__(self, *, align: str | None = None, required: bool = True) -> None: ...

class Embeddings(LitType):
    def __init__(self) -> None: ...

class MulticlassPreds(LitType):
    def __init__(self, *, vocab: Sequence[str], parent: str | None = None, autosort: bool = False) -> None: ...

class Scalar(LitType):
    def __init__(self, *, min_val: float = 0, max_val: float = 1) -> None: ...

class CategoryLabel(LitType):
    def __init__(self, *, vocab: Sequence[str] | None = None, required: bool = True) -> None: ...

class SequenceSalience(LitType):
    def __init__(self, *, signed: bool) -> None: ...

class MetricBestValue(Enum):
    HIGHEST = ...
    LOWEST = ...
    NONE = ...

class MetricResult(LitType):
    def __init__(self, *, description: str = "", best_value: MetricBestValue = MetricBestValue.NONE) -> None: ...
