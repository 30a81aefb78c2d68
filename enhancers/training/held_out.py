"""Recordings held out of a training for its validation, whole sessions at a time."""

import hashlib
from typing import Literal

import numpy as np

from clean_corpus.enhancers.training.recordings import Recording

Recordings = dict[str, list[Recording]]  # by folder


def hold_out(
    groups: Recordings, share: float, seed: int, by: Literal["draw", "name"] = "draw"
) -> tuple[Recordings, Recordings]:
    """Divide recordings into those to train with and a share held out, at least one session of a folder that has two.

    Sessions stay whole: takes of one sound on both sides would flatter the validation. They are drawn with the seed
    or, by name, are those whose hash lies in the lowest `share` of all hashes, so that another recording in the folder
    moves none to the other side.
    """
    rng = np.random.default_rng((seed, 7))
    kept, held = {}, {}
    for folder, files in groups.items():
        sessions = sorted({r.session for r in files})
        if len(sessions) == 1:  # a folder of one voice: its files are all there is to divide
            sessions = sorted(r.name for r in files)
        if by == "name":
            sessions.sort(key=_hash_fraction)
            count = sum(_hash_fraction(name) < share for name in sessions)
        else:
            sessions = [sessions[i] for i in rng.permutation(len(sessions))]
            count = round(share * len(sessions))
        chosen = set(sessions[: min(len(sessions) - 1, max(1, count))])
        held[folder] = [r for r in files if {r.session, r.name} & chosen]
        kept[folder] = [r for r in files if not {r.session, r.name} & chosen]
    return kept, held


def _hash_fraction(name: str) -> float:
    """Return a number from 0 to 1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
