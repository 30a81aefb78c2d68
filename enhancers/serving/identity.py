"""The name of what an enhancer computes: its weights, and the version of the code that runs them."""

import hashlib

from clean_corpus.enhancers.checkpoints import weights_sha256

ENHANCEMENT_VERSION = 1
"""Raised when the same weights give other samples: a change of a network, a domain, or the way long files go through.

tests/enhancers/serving/test_identity.py fails when the samples change and this does not.
"""


def identity(name_or_path: str) -> str:
    """Return the hash by which the enhance stage knows an enhancer; training code is no part of it.

    Raises: ConfigError if there are no such weights.
    """
    return hashlib.sha256(f"{weights_sha256(name_or_path)} {ENHANCEMENT_VERSION}".encode()).hexdigest()
