"""The side of a split that a clip is on: a function of its text or speaker, whatever other clips there are."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from clean_corpus.pipeline.export.utterances import SIDES, Side

Shares = tuple[float, float, float]
"""Shares of train, dev and test, which add up to 1."""


def parse_shares(text: str) -> Shares:
    """Return the shares that a text such as 0.9/0.05/0.05 means; what is left out is nothing.

    Raises: ValueError if there are more than three, one is negative, or they do not add up to 1.

    >>> parse_shares("0.9/0.1"), parse_shares("1")
    ((0.9, 0.1, 0.0), (1.0, 0.0, 0.0))
    """
    try:
        values = [float(part) for part in text.split("/")]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6 or values[0] == 0:
        raise ValueError(f"{text!r}: expected the shares of train/dev/test that add up to 1, for example 0.9/0.05/0.05")
    return (*values, 0.0, 0.0)[:3]  # type: ignore[return-value]


def sides(wanted: Shares) -> Sequence[Side]:
    """Return the sides with a share.

    >>> sides((0.9, 0.0, 0.1))
    ['train', 'test']
    """
    return [side for side, share in zip(SIDES, wanted, strict=True) if share > 0]


def side(key: str, wanted: Shares) -> Side:
    """Return the side of a key: the same one in every version, and whatever other keys there are.

    A key that was in train at a share stays there when the share grows.

    >>> [side(f"clip {i}", (0.5, 0.25, 0.25)) for i in range(4)]
    ['train', 'dev', 'test', 'dev']
    """
    position = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    if position < wanted[0]:
        return "train"
    return "dev" if wanted[1] and (position < wanted[0] + wanted[1] or not wanted[2]) else "test"


def key_of_text(text: str) -> str:
    """Return what two texts have in common that differ in case, punctuation and spaces alone.

    >>> key_of_text("Well, WELL!") == key_of_text("well well")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[\W_]+", " ", folded).split()) or text
