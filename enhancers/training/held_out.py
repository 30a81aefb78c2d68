"""Recordings held out of a training for its validation, whole sessions at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.pipeline.training.held_out import By, chosen

Recordings = dict[str, list[Recording]]  # by folder


def hold_out(
    groups: Recordings, share: float, seed: int, by: By = "draw", *, pair: int | None = None
) -> tuple[Recordings, Recordings]:
    """Divide recordings into those to train with and a share held out, at least one session of a folder that has two.

    Sessions stay whole: takes of one sound on both sides would flatter the validation. They are drawn with the seed
    or by their names. A recording that is alone in its folder is divided itself, its end held out, if the share of it
    lasts as long as a `pair` (in samples): noises come as one track of minutes a folder. Shorter ones are divided as if
    they lay in one folder. If nothing is held out so, the end of the longest is, as long as a pair or half of it. With
    `pair` None no recording is divided.
    """
    rng = np.random.default_rng((seed, 7))
    kept: Recordings = dict(groups)
    held: Recordings = {folder: [] for folder in groups}
    for folder, files in groups.items():
        if len(files) > 1:
            names = chosen(_sessions(files), share, by, rng)
            held[folder] = [r for r in files if {r.session, r.name} & names]
            kept[folder] = [r for r in files if not {r.session, r.name} & names]
    length = {folder: files[0].samples.shape[-1] for folder, files in groups.items() if len(files) == 1}
    divided = {folder for folder, n in length.items() if pair and share * n >= pair}
    if len(short := sorted(length.keys() - divided)) > 1:
        for folder in chosen(short, share, by, rng):
            kept[folder], held[folder] = [], groups[folder]
    if pair and length and not divided and not any(held.values()):
        divided = {max(length, key=length.__getitem__)}
    for folder in divided:
        last = max(round(share * length[folder]), min(pair or 0, length[folder] // 2))
        kept[folder], held[folder] = _parts(groups[folder][0], length[folder] - last)
    return kept, held


def _sessions(files: Sequence[Recording]) -> list[str]:
    sessions = sorted({r.session for r in files})
    # a folder of one voice: its files are all there is to divide
    return sessions if len(sessions) > 1 else sorted(r.name for r in files)


def _parts(recording: Recording, at: int) -> tuple[list[Recording], list[Recording]]:
    """Return what lies before a sample, and from it on."""
    x = recording.samples
    return [replace(recording, samples=x[..., :at])], [replace(recording, samples=x[..., at:])]
