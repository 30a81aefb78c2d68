"""Recordings held out for validation: whole sessions, drawn with a seed or by name."""

import numpy as np

from clean_corpus.enhancers.training.held_out import hold_out
from clean_corpus.enhancers.training.recordings import Recording

SILENCE = np.zeros(10, np.int16)


def test_sessions_stay_whole_when_recordings_are_held_out():
    names = [f"{chapter}-{i}" for chapter in "abcdefghij" for i in range(4)]
    single = [f"voice_{i}" for i in range(10)]
    groups = {"many": [Recording(n, SILENCE) for n in names], "one": [Recording(n, SILENCE) for n in single]}
    kept, held = hold_out(groups, 0.2, seed=0)
    assert {k: len(v) for k, v in held.items()} == {"many": 8, "one": 2}
    for folder in groups:
        assert not {r.session for r in kept[folder]} & {r.session for r in held[folder]}
        assert {r.name for r in kept[folder]} | {r.name for r in held[folder]} == {r.name for r in groups[folder]}
    kept, held = hold_out({"one": [Recording(f"voice-{i}", SILENCE) for i in range(10)]}, 0.2, seed=0)
    assert (len(kept["one"]), len(held["one"])) == (8, 2)


def test_sessions_are_held_out_by_their_names_alone():
    groups = {"many": [Recording(f"{chapter}-{i}", SILENCE) for chapter in range(200) for i in range(2)]}
    kept, held = hold_out(groups, 0.1, 0, "name")
    names = {r.name for r in held["many"]}
    assert 20 < len(names) < 60 and not {r.session for r in kept["many"]} & {r.session for r in held["many"]}
    half = {"many": groups["many"][:200]}
    assert {r.name for r in hold_out(half, 0.1, 1, "name")[1]["many"]} == names & {r.name for r in half["many"]}
    few = {"few": [Recording(f"{i}-0", SILENCE) for i in range(2)]}
    assert [len(part["few"]) for part in hold_out(few, 0.01, 0, "name")] == [1, 1]
