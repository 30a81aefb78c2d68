"""Speakers found among made-up voices whose speaker is known."""

import numpy as np
import pytest

from clean_corpus.pipeline.core.types import Decision, Verdict
from clean_corpus.pipeline.quality.speakers import BATCH, Groups, centre, linked, map_2d, one_speaker


def voices(speaker: int, n: int, *, spread: float = 0.03, seed: int = 0) -> np.ndarray:
    """Return clips of a speaker: its own direction, and noise."""
    rng = np.random.default_rng([speaker, seed])
    own = np.random.default_rng(speaker).standard_normal(256)
    x = own / np.linalg.norm(own) + spread * rng.standard_normal((n, 256))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_an_outlier_is_further_away_than_its_speaker_varies():
    clips = np.concatenate([voices(1, 20), voices(2, 3)])
    voice, limit = centre(clips, 0.75)
    alike = clips @ voice
    assert limit == 0.75 and alike[:20].min() > limit > alike[20:].max()
    # a speaker who varies more than the limit allows has a lower one, and loses none of his own
    loose = voices(3, 40, spread=0.08)
    voice, limit = centre(loose, 0.75)
    assert limit < 0.5 < np.median(loose @ voice) and (loose @ voice).min() > limit
    # equal clips have no spread at all
    voice, limit = centre(np.repeat(voices(4, 1), 9, axis=0), 0.75)
    assert limit == 0.75


def test_groups_are_speakers_whatever_the_batches():
    clips = np.concatenate([voices(speaker, 12) for speaker in range(6)])
    names = [f"clip{i}" for i in range(len(clips))]
    order = np.random.default_rng(0).permutation(len(clips))
    for size in (len(clips), 7):
        groups, found = Groups(0.6), {}
        for begin in range(0, len(order), size):
            batch = order[begin : begin + size]
            for i, name in zip(batch, groups.take(clips[batch], [names[i] for i in batch]), strict=True):
                found[int(i)] = name
        assert len(groups.names) == 6
        assert all(len({found[i] for i in range(s * 12, s * 12 + 12)}) == 1 for s in range(6))
        assert set(found.values()) <= set(names)


def test_what_is_known_keeps_its_name():
    groups = Groups(0.6)
    groups.hold("anna", voices(1, 2))
    groups.hold("anna", voices(1, 1, seed=1))
    found = groups.take(np.concatenate([voices(1, 3, seed=2), voices(2, 2)]), list("abcde"))
    assert found == ["anna"] * 3 + ["d"] * 2 and groups.names == ["anna", "d"]
    assert groups.take(voices(2, 1, seed=3), ["f"]) == ["d"]
    assert groups.take(np.zeros((0, 256), np.float32), []) == []
    with pytest.raises(ValueError, match=f"{BATCH + 1} clips in a batch"):
        groups.take(np.zeros((BATCH + 1, 256), np.float32), [""] * (BATCH + 1))


def test_average_linkage_ends_at_the_limit():
    a, b = voices(1, 1)[0], voices(2, 1)[0]
    assert linked(np.stack([a, b, a]), 0.9) == [[0, 2], [1]]
    assert linked(np.stack([a, b, a]), -1.0) == [[0, 1, 2]]
    assert linked(np.stack([a]), 0.9) == [[0]] and linked(np.zeros((0, 256), np.float32), 0.9) == []


def test_the_map_keeps_speakers_apart():
    clips = np.concatenate([voices(1, 10), voices(2, 10)])
    places = map_2d(clips)
    assert places.shape == (20, 2) and np.sign(places[0, 0]) != np.sign(places[10, 0])
    assert abs(places[:10, 0].mean() - places[10:, 0].mean()) > 5 * places[:10, 0].std()
    assert map_2d(clips[:1]).tolist() == [[0, 0]] and map_2d(clips[:0]).shape == (0, 2)


def test_only_what_would_be_kept_is_rejected_for_its_voice():
    rejected = one_speaker(Decision(Verdict.KEPT, chosen="raw"), 0.4, 0.65)
    assert (rejected.verdict, rejected.reason, rejected.chosen) == (Verdict.REJECTED, "speaker_change", "raw")
    for decision in (Decision(Verdict.KEPT), Decision(Verdict.FAILED, None, "x")):
        assert one_speaker(decision, None, 0.65) == one_speaker(decision, 0.7, 0.65) == decision
        assert one_speaker(decision, 0.4, None) == decision
    assert one_speaker(Decision(Verdict.REJECTED, "snr_db"), 0.4, 0.65).reason == "snr_db"
