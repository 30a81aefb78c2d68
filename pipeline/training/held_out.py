"""What is held out of a training for its validation: drawn, or by name."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

By = Literal["draw", "name"]


def chosen(names: Sequence[str], share: float, by: By, rng: np.random.Generator) -> set[str]:
    """Return the names held out: a share of them, at least one, and never all.

    Drawn they depend on their number. By name they are those whose hash lies in the lowest `share` of all hashes, so
    that a further name moves none to the other side.

    >>> sorted(chosen(["ash", "birch", "cedar", "elm", "fir", "oak"], 0.25, "name", np.random.default_rng(0)))
    ['ash', 'cedar', 'fir']
    """
    if by == "name":
        ordered = sorted(names, key=_hash_fraction)
        count = sum(_hash_fraction(name) < share for name in names)
    else:
        ordered = [names[i] for i in rng.permutation(len(names))]
        count = round(share * len(names))
    return set(ordered[: min(len(names) - 1, max(1, count))])


def _hash_fraction(name: str) -> float:
    """Return a number from 0 to 1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
