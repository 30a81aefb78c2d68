"""What a run knows of its shards and clips comes back in a fixed order, however the work was ordered."""

from dataclasses import replace

import pytest

from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Clip, Decision, Verdict
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.run_state import RunState


@pytest.fixture
def state():
    with scratch_database() as database:
        yield RunState(database)


def raw(name: str, source: str) -> RawShard:
    return RawShard(Shard(f"work/raw/{name}.tar", "0" * 64, 9, 1), [Clip(name, source, None)], ["codes"])


def row(clip_id: str, source: str, offset_s: float = 0.0) -> Row:
    return Row(Clip(clip_id, source, None, offset_s), Decision(Verdict.KEPT), {"snr_db": 1.0}, {})


def test_raw_shards_come_by_group_and_source(state):
    state.add_raw_shards(7, [raw("d", "z.wav"), raw("c", "y.wav")])
    state.add_raw_shards(2, [raw("b", "x.wav"), raw("a", "x.wav")])
    found = list(state.raw_shards())
    assert [shard.shard.key[9:10] for _, shard in found] == ["a", "b", "c", "d"]
    assert found[3] == (1, raw("d", "z.wav")) and state.n_raw_shards == 4


def test_the_shard_with_most_to_work_on_comes_first(state):
    def lasting(name: str, *seconds: float, rejected_s: float = 0.0) -> RawShard:
        clips = [Clip(f"{name}{n}", f"{name}.wav", None, duration_s=s) for n, s in enumerate(seconds)]
        idle = [Clip(f"{name}-", f"{name}.wav", None, duration_s=rejected_s, reject=("too_short", "0.1 s"))]
        return replace(raw(name, f"{name}.wav"), clips=clips + idle)

    state.add_raw_shards(1, [lasting("a", 3.0), lasting("b", 2.0, 2.0, rejected_s=9.0)])
    state.add_raw_shards(0, [lasting("c", 9.0), lasting("d", 1.0, rejected_s=99.0), lasting("e", 3.0)])
    assert [shard.shard.key[9:10] for _, shard in state.longest_first()] == ["c", "b", "e", "a", "d"]


def test_rows_come_by_source_offset_and_id(state):
    state.add_rows(None, [row("b", "s.wav", 2.0), row("c", "r.wav")])
    state.add_rows(1, [row("a", "s.wav", 10.0), row("d", "s.wav", 2.0)])
    assert [found.clip.clip_id for found in state.rows()] == ["c", "b", "d", "a"]
    assert next(state.rows()) == row("c", "r.wav") and state.repeated_clip_ids() == []


def test_a_clip_with_two_rows_is_named(state):
    state.add_rows(1, [row("a", "s.wav"), row("b", "s.wav")])
    state.add_rows(2, [row("b", "t.wav")])
    assert state.repeated_clip_ids() == ["b"]


def test_clips_are_found_in_their_shards(state):
    state.add_raw_shards(0, [raw("a", "a.wav"), raw("b", "b.wav"), raw("c", "c.wav")])
    enhanced = Shard("work/enhanced/a.tar", "1" * 64, 9, 1)
    other = Shard("work/enhanced/a2.tar", "2" * 64, 9, 1)  # of a raw shard that was divided
    state.add_rows(1, [row("a2", "a.wav")], other)
    for (number, shard), twin in zip(state.raw_shards(), (enhanced, None, None), strict=True):
        state.add_rows(number, [row(shard.clips[0].clip_id, shard.clips[0].source)], twin)
    state.add_rows(None, [row("unread", "u.wav")])
    assert state.clip_shards(["a", "a2", "b", "c", "unread"]) == {
        "a": (raw("a", "").shard, enhanced),
        "a2": (raw("a", "").shard, other),
        "b": (raw("b", "").shard, None),
        "c": (raw("c", "").shard, None),
    }
    assert state.clip_shards([]) == {}
