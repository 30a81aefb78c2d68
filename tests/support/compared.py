"""Scores of comparisons as they would be measured, whose answers are known."""

import numpy as np

from clean_corpus.vocoder.comparison.copy_synthesis import COMMON, OWN, Spoken
from clean_corpus.vocoder.comparison.measures import MEASURES

KEYS = [f"u{i}" for i in range(6)]


def spoken(system, values, *, own=0.0, distillmos=False, audio=True):
    """P.808 of each training and utterance, (S, 6), NaN for none; from own frames so much more; audio as the first."""
    names = ("dnsmos_p808", "distillmos") if distillmos else ("dnsmos_p808",)
    groups = [(None, values[:1])] if audio else []
    return [
        Spoken(system, frames, seed if frames else None, key, dict.fromkeys(MEASURES) | dict.fromkeys(names, value))
        for frames, table in [*groups, (COMMON, values), (OWN, values + own)]
        for seed, row in enumerate(table)
        for key, value in zip(KEYS, (None if np.isnan(v) else float(v) for v in row), strict=True)
    ]


def facts(*sets, aa=None, seeds=1, twins=None):
    """What a comparison of some sets says of itself."""
    again = {"system": f"{aa}-again", "of": aa} if aa else None
    systems = [*sets, *([again["system"]] if again else [])]
    return {
        "systems": systems, "steps": 4, "seeds": seeds, "aa": again, "frames_from": sets[-1], "reference": sets[-1],
        "common": 30, "splits": {"train": 22, "validation": 2, "test": 6, "left_out": 0, "by": "text and recording"},
        "hours": dict.fromkeys(sets, 0.5), "took_s": dict.fromkeys(systems, 90.0), "twins": twins or {},
    }  # fmt: skip
