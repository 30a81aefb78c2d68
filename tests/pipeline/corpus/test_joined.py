"""Small groups joined: the clips as they are, and results of stages put together without computing one of them."""

import shutil
from dataclasses import replace

import pytest
import soundfile

from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.corpus import ingest, joined, shards
from clean_corpus.pipeline.corpus.enhance import enhance_shard
from clean_corpus.pipeline.corpus.score import score_shard
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import signals

RATE = 16000
CONFIG = PipelineConfig(audio={"sample_rate": RATE})


class Loudest:
    """A scorer that counts its calls."""

    calls = 0

    def score(self, x, *, sample_rate, clean=None, own=None):
        Loudest.calls += 1
        return {"peak": float(abs(x).max())}


@pytest.fixture
def night(tmp_path):
    """Recordings of three nights, one of them no audio, their groups as they were ingested, and where all lie."""
    source, store = tmp_path / "in", LocalStore(tmp_path / "out")
    source.mkdir()
    for i in range(3):
        soundfile.write(source / f"{i}.wav", signals.speech(2, seed=i), RATE)
    (source / "3.wav").write_text("no audio")
    found = find_all(source, exclude=None)
    groups = [[found[1]], [found[0]], [found[2], found[3]]]
    parts = [ingest.ingest_group(store, source, group, CONFIG).result for group in groups]
    return source, store, groups, parts


def test_a_joined_group_is_that_of_its_parts_and_nothing_is_read(night):
    source, store, groups, parts = night
    shutil.rmtree(source)
    every = [recording for group in groups for recording in group]
    done = ingest.ingest_group(store, source, every, CONFIG, sizes=[1, 1, 2])
    (raw,) = done.result.shards
    assert done.reused and [clip.source for clip in raw.clips] == ["1.wav", "0.wav", "2.wav"]
    assert done.result.rest == parts[2].rest and [clip.source for clip in done.result.rest] == ["3.wav"]
    before = [pair for part in parts for pair in shards.read_flac(store, part.shards[0].shard)]
    assert list(shards.read_flac(store, raw.shard)) == before, "clips are the same bytes"
    assert raw.fingerprints == [text for part in parts for text in part.shards[0].fingerprints]
    again = ingest.ingest_group(store, source, every, CONFIG)
    assert again.reused and again.result == done.result, "found by itself, without its parts"
    few = CONFIG.model_copy(update={"shards": CONFIG.shards.model_copy(update={"max_clips": 2})})
    other = ingest.ingest_group(store, source, every, few, sizes=[1, 1, 2])  # other settings: all is read anew
    assert not other.reused and not other.result.shards and len(other.result.rest) == 4


def test_of_a_joined_group_only_the_part_that_changed_is_read(night):
    source, store, groups, parts = night
    soundfile.write(source / "0.wav", signals.speech(2, seed=7), RATE)
    for i in (1, 2):
        (source / f"{i}.wav").unlink()
    changed = {recording.source: recording for recording in find_all(source, exclude=None)}
    every = [changed.get(recording.source, recording) for group in groups for recording in group]
    done = ingest.ingest_group(store, source, every, CONFIG, sizes=[1, 1, 2])
    (raw,) = done.result.shards
    assert not done.reused and [clip.source for clip in raw.clips] == ["1.wav", "0.wav", "2.wav"]
    assert raw.clips[1].pcm_sha256 != parts[1].shards[0].clips[0].pcm_sha256
    again = ingest.ingest_group(store, source, every, CONFIG)
    assert again.reused and again.result == done.result


def test_parts_stay_apart_while_a_file_is_not_what_was_found(night):
    source, store, groups, parts = night
    soundfile.write(source / "0.wav", signals.speech(2, seed=7), RATE)
    changed = {recording.source: recording for recording in find_all(source, exclude=None)}
    soundfile.write(source / "0.wav", signals.speech(2, seed=8), RATE)
    every = [changed.get(recording.source, recording) for group in groups for recording in group]
    done = ingest.ingest_group(store, source, every, CONFIG, sizes=[1, 1, 2]).result
    assert [raw.shard for raw in done.shards] == [parts[0].shards[0].shard, parts[2].shards[0].shard]
    assert [clip.error is None for clip in done.rest] == [False, False] and not list(store.keys("work/joined"))


def test_stages_over_a_joined_shard_take_the_results_of_its_parts(night):
    source, store, groups, parts = night
    calls = []

    def enhancer():
        return lambda noisy, lengths: (calls.append(len(noisy)), noisy / 2)[1]

    def stages(raw):
        before = score_shard(store, raw.shard, raw.clips, Loudest, CONFIG, {})
        enhanced = enhance_shard(store, raw, enhancer, "halve", CONFIG)
        after = score_shard(store, enhanced.result.shard, raw.wanted, Loudest, CONFIG, {})
        return before, enhanced, after

    apart = [stages(part.shards[0]) for part in parts]
    known = Loudest.calls, len(calls)
    every = [recording for group in groups for recording in group]
    (raw,) = ingest.ingest_group(store, source, every, CONFIG, sizes=[1, 1, 2]).result.shards
    together = stages(raw)
    assert (Loudest.calls, len(calls)) == known and all(outcome.reused for outcome in together)
    for at in (0, 2):
        assert together[at].result.scores == joined.merged([outcomes[at].result.scores for outcomes in apart])
    enhanced = together[1].result
    assert enhanced.residual_snr_db == joined.merged([outcomes[1].result.residual_snr_db for outcomes in apart])
    before = [pair for outcomes in apart for pair in shards.read_flac(store, outcomes[1].result.shard)]
    assert list(shards.read_flac(store, enhanced.shard)) == before
    assert joined.enhanced_part(store, enhanced.shard, parts[1].shards[0]) == apart[1][1].result.shard


def test_a_clip_that_is_rejected_since_costs_its_part_alone(night):
    source, store, groups, parts = night
    for part in parts:
        enhance_shard(store, part.shards[0], lambda: lambda noisy, lengths: noisy, "same", CONFIG)
    every = [recording for group in groups for recording in group]
    (raw,) = ingest.ingest_group(store, source, every, CONFIG, sizes=[1, 1, 2]).result.shards
    marked = replace(raw, clips=[replace(raw.clips[0], reject=("duplicate", "of another")), *raw.clips[1:]])
    done = enhance_shard(store, marked, lambda: pytest.fail("computed"), "same", CONFIG)
    assert done.result.shard.samples == 2


def test_without_the_tars_of_its_parts_a_joined_shard_stands_for_itself(night):
    source, store, groups, parts = night
    every = [recording for group in groups for recording in group]
    (raw,) = ingest.ingest_group(store, source, every, CONFIG, sizes=[1, 1, 2]).result.shards
    store.delete(parts[0].shards[0].shard.key)
    assert joined.parts_of(store, raw.shard) == [] and joined.parts_of(store, parts[1].shards[0].shard) == []
    done = score_shard(store, raw.shard, raw.clips, Loudest, CONFIG, {})
    assert not done.reused and len(done.result.scores) == 3
