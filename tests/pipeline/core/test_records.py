"""Results of stages: the clips to go on with, and the shards that each result names."""

from clean_corpus.pipeline.core.records import Enhanced, Ingested, Published, RawShard, Scored, Shard, named_shards
from clean_corpus.pipeline.core.types import Clip


def shard(name: str) -> Shard:
    return Shard(f"work/{name}.tar", "0" * 64, 9, 1)


def test_rejected_clips_are_not_wanted_and_the_others_keep_their_order():
    clips = [
        Clip("c", "c.wav", None),
        Clip("b", "b.wav", None, reject=("duplicate", "same audio as c")),
        Clip("a", "a.wav", None),
    ]
    raw = RawShard(shard("raw"), clips, [""] * 3)
    assert [clip.clip_id for clip in raw.wanted] == ["c", "a"]


def test_each_result_names_the_shards_that_it_made():
    one, two = shard("one"), shard("two")
    ingested = Ingested([RawShard(one, [], []), RawShard(two, [], [])], [Clip("a", "a.wav", None)])
    assert list(named_shards(ingested)) == [one, two]
    assert list(named_shards(Enhanced(one, {}))) == [one]
    assert list(named_shards(Published(one, two, {}))) == [one, two]


def test_what_was_not_made_is_not_named():
    one = shard("one")
    assert list(named_shards(Published(None, one, {}))) == [one] == list(named_shards(Published(one, None, {})))
    for result in (Ingested([], []), Enhanced(None, {"a": "not finite"}), Published(None, None, {}), Scored({}, {})):
        assert list(named_shards(result)) == []
