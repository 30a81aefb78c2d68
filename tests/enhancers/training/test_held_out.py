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


def lengths(part):
    return {folder: [len(r.samples) for r in files] for folder, files in part.items()}


def test_a_track_of_minutes_is_divided_and_lone_short_recordings_are_drawn_together():
    """Noise as papers have it, one long track a class; a voice of one utterance is on one side."""
    alone = {f"class{i}": [Recording(f"class{i}", np.arange(1000))] for i in range(3)}
    kept, held = hold_out(alone, 0.08, 0, pair=80)
    assert lengths(kept) == {name: [920] for name in alone} and lengths(held) == {name: [80] for name in alone}
    assert held["class0"][0].samples[0] == 920, "the end"
    kept, held = hold_out(alone, 0.08, 0, pair=81)
    assert sorted(map(len, held.values())) == [0, 0, 1] and all(len(kept[k]) + len(held[k]) == 1 for k in alone)
    one, other = (hold_out(part, 0.4, 0, "name", pair=81)[1] for part in (alone, {"class9": alone["class0"]} | alone))
    assert {k for k, files in one.items() if files} <= {k for k, files in other.items() if files}


def test_something_is_held_out_of_a_single_recording_unless_it_may_not_be_divided():
    stereo = np.stack([np.arange(1000)] * 2)
    kept, held = hold_out({"n": [Recording("n", stereo)]}, 0.08, 0, pair=200)
    assert (kept["n"][0].samples.shape, held["n"][0].samples.shape) == ((2, 800), (2, 200))
    assert lengths(hold_out({"n": [Recording("n", stereo[0])]}, 0.08, 0, pair=9000)[1]) == {"n": [500]}
    rooms = {"hall": [Recording("hall", stereo[0])]}
    assert [lengths(part) for part in hold_out(rooms, 0.08, 0)] == [{"hall": [1000]}, {"hall": []}]
    beside = rooms | {"many": [Recording(f"{i}-0", SILENCE) for i in range(4)]}
    assert [len(part["hall"]) for part in hold_out(beside, 0.25, 0, pair=300)] == [1, 0], "others validate"
