"""What `prepare` warns of: characters without a token, and a split of unexpected sizes."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.encode import Encoded
from ml_playground.errors import DataError
from ml_playground.utils.paths import display_path

_NAMED = 8  # characters
_FILES = 4
_MUCH = 0.05  # share of the validation text from files that training does not see


def lost_share(sides: Sequence[Encoded], config: PrepareConfig) -> float:
    """The share of the text's characters for which the tokenizer has no token; they are reported.

    Raises:
        DataError: it is above `max_lost`.
    """
    lost = sum((side.lost for side in sides), Counter[str]())
    characters, count = sum(side.characters for side in sides), lost.total()
    if not count:
        return 0.0
    share = count / characters
    named = ", ".join(f"{each!r} ({_name(each)}) {times:,} times" for each, times in lost.most_common(_NAMED))
    more = f" and {len(lost) - _NAMED:,} other characters" if len(lost) > _NAMED else ""
    text = (
        f"the tokenizer has no token for {count:,} of the text's {characters:,} characters ({share:.2%}): {named}{more}"
    )
    if share > config.max_lost:
        raise DataError(
            f"{text}. That is more than [prepare] max_lost = {config.max_lost:g}: take another tokenizer, take these "
            "characters out of the text, or allow for more."
        )
    print(f"! {text}")
    return share


def warn_of_sides(train: Encoded, val: Encoded, wanted: float) -> None:
    """Warn where the sides' sizes are far from the share that is wanted, as where one document is most of the text."""
    share = val.raw_bytes / max(1, train.raw_bytes + val.raw_bytes)
    if share > min(3 * wanted, (1 + wanted) / 2) or share < wanted / 5:
        print(
            f"! validation has {share:.1%} of the text, where [prepare.split] val_fraction = {wanted:g}: "
            f"{train.tokens:,} tokens are left for training, {val.tokens:,} are for validation. Documents are kept "
            "whole, and some of these are far longer than others: cut them, or change [prepare.source]."
        )


def warn_of_unseen(unseen: Mapping[Path, float]) -> None:
    """Warn where validation has whole files, which may be unlike all that is trained on; `unseen` has their shares."""
    if (share := sum(unseen.values())) < _MUCH:
        return
    names = ", ".join(map(display_path, list(unseen)[:_FILES])) + (", ..." if len(unseen) > _FILES else "")
    print(
        f"! {share:.0%} of the validation text is from files of which nothing is trained on ({names}). If they differ "
        'from the others, set [prepare] split = "files": then validation gets the end of each file.'
    )


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}")
