"""The split into training and validation: by utterance or by speaker, the same in every process."""

from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.training.split import first_held_out, is_held_out


def test_validation_shares_no_utterance_or_no_speaker(shards):
    everything = [clip for shard in shards for clip in clips(shard)]
    held = [is_held_out(c, 0.3, "utterance", 0) for c in everything]
    assert 0 < sum(held) < len(everything)
    sides = {c.speaker: is_held_out(c, 0.5, "speaker", 1) for c in everything}
    assert sides.keys() == {"s0", "s1"}
    assert all(is_held_out(c, 0.5, "speaker", 1) == sides[c.speaker] for c in everything)


def test_the_first_held_out_clips_come_in_the_order_of_the_shards(shards):
    found = first_held_out(shards, lambda clip: clip.key.endswith("-3"), 2)
    assert [clip.key for clip in found] == ["c0-3", "c1-3"]
