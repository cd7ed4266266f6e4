"""Training and validation text: a deterministic split."""

import hashlib
import math
from collections.abc import Sequence


def split_by_position(text: str, val_fraction: float) -> tuple[str, str]:
    """The first part for training and the rest for validation, cut between characters as nanoGPT does."""
    cut = int(len(text) * (1 - val_fraction))
    return text[:cut], text[cut:]


def split_by_document(documents: Sequence[str], val_fraction: float) -> tuple[list[str], list[str]]:
    """Whole documents to either side, each side in its old order.

    The documents with the smallest hashes go to validation, so that neither order nor neighbours decide, and a
    document that stands twice in the text is on one side only.
    """
    ranks = {document: hashlib.sha256(document.encode()).digest() for document in documents}
    by_rank = sorted(ranks, key=ranks.__getitem__)
    validation = set(by_rank[: math.ceil(len(by_rank) * val_fraction)])
    return (
        [document for document in documents if document not in validation],
        [document for document in documents if document in validation],
    )
