from collections.abc import Sequence

class DataTuple:
    def to_json(self) -> object: ...

class SequenceSalienceMap(DataTuple):
    def __init__(self, *, tokens_in: list[str], tokens_out: list[str], salience: Sequence[Sequence[float]]) -> None: ...
