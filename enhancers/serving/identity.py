"""The name of what an enhancer computes: its weights, and the version of the code that runs them."""

import hashlib
from importlib.metadata import version

from clean_corpus.enhancers.checkpoints import EXTRAPOLATED, card, weights_sha256

ENHANCEMENT_VERSION = 1
"""Raised when the same weights give other samples: a change of a network, a domain, or the way long files go through.

tests/enhancers/serving/test_identity.py fails when the samples change and this does not.
"""


BAND_SPLIT_VERSION = 3
"""Raised when the same network gives other samples at another rate than its own."""


def identity(name_or_path: str, sample_rate: int, *, upper_band: str | None = None) -> str:
    """Return the hash by which the enhance stage knows an enhancer at a rate; training code is no part of it.

    At another rate than the network's own, the version of the resampler and of the treatment of the band above count,
    and above it the weights of that treatment, None where it has none.
    Raises: ConfigError if there are no such weights.
    """
    parts: list[object] = [weights_sha256(name_or_path), ENHANCEMENT_VERSION]
    own_rate = card(name_or_path)["sample_rate"]
    if sample_rate != own_rate:
        parts += [sample_rate, BAND_SPLIT_VERSION, f"soxr {version('soxr')}"]
    if sample_rate > own_rate:
        parts.append(weights_sha256(upper_band) if upper_band else EXTRAPOLATED)
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()
