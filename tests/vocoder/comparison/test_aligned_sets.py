"""Aligned sets: the same keys in the same shards in the same order, whatever order they came in."""

import json

import numpy as np
import pytest

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.comparison.aligned_sets import align
from clean_corpus.vocoder.comparison.splits import SIDES


def write(root, name, keys, per_shard, level, texts=None, speakers=None):
    store = LocalStore(root)
    for i in range(0, len(keys), per_shard):
        samples = [
            {"__key__": k, "flac": encode.encode_flac(np.full(1600, level, np.float32), 16000, bits=16),
             "json": json.dumps({"speaker": (speakers or {}).get(k, k[0]), "text": (texts or {}).get(k)}).encode()}
            for k in keys[i : i + per_shard]
        ]  # fmt: skip
        write_shard(store, f"{name}/{i}.tar", samples)
    return sorted((root / name).glob("*.tar"))


def aligned(sets, out, utterances="common", test=20, **more):
    return align(sets, out, utterances, test=test, validation_share=0.05, validation_most=32, seed=0, **more)


def contents(found, name):
    return {side: [[c.key for c in clips(shard)] for shard in found.shards(name, side)] for side in SIDES}


def keys_of(found, name):
    return sorted(key for shards in contents(found, name).values() for shard in shards for key in shard)


def test_sets_are_aligned_whatever_order_they_came_in(tmp_path):
    keys = [f"{'ab'[i % 2]}{i}" for i in range(150)]
    texts = {key: f"Sentence {i // 2}" for i, key in enumerate(keys)}  # two of each
    raw = write(tmp_path / "in", "raw", keys, 40, 0.1, texts)
    gated = write(tmp_path / "in", "gated", keys[::-1][:130], 7, 0.2)
    found = aligned({"raw": raw, "gated": gated}, tmp_path / "out")
    assert found.common == 130 and contents(found, "raw") == contents(found, "gated")
    counts = found.splits.counts()
    assert (counts["test"], counts["validation"]) == (20, 6) and counts["left_out"] == 0
    assert found.hours["raw"] == pytest.approx(counts["train"] * 0.1 / 3600) == found.hours["gated"]
    assert keys_of(found, "raw") == sorted(keys[20:]) and len(contents(found, "raw")["train"]) == 2
    where = {texts[key]: side for side, shards in contents(found, "gated").items() for s in shards for key in s}
    assert all(where[texts[key]] == found.splits.sides[key] for key in keys[20:]), "a text is on two sides"
    assert found.test == [key for shard in contents(found, "raw")["test"] for key in shard]
    assert found.said[found.test[0]].text == texts[found.test[0]], "the set that has texts comes first"
    first = next(clips(found.shards("gated", "train")[0]))
    assert first.decode(16000)[0] == pytest.approx(0.2, abs=1e-4) and json.loads(first.about)["speaker"] == first.key[0]
    everything = aligned({"raw": raw, "gated": gated}, tmp_path / "out", "all")
    assert everything.common == 130 and keys_of(everything, "raw") == sorted(keys)
    assert everything.splits.counts()["test"] == 20 and keys_of(everything, "gated") == sorted(keys[20:])


def test_sets_that_do_not_fit_are_refused(tmp_path):
    a, b = write(tmp_path, "a", ["a1", "a2"], 2, 0.1), write(tmp_path, "b", ["b1"], 2, 0.1)
    with pytest.raises(DataError, match=r"no utterance in common: a 2 \(first: a1\), b 1 \(first: b1\)"):
        aligned({"a": a, "b": b}, tmp_path / "out")
    with pytest.raises(DataError, match=r"set a, shard .*: utterance a1 comes twice"):
        aligned({"a": a + a, "b": b}, tmp_path / "out")
    with pytest.raises(ConfigError, match="given 1 times"):
        aligned({"a": a}, tmp_path / "out")


def test_a_set_with_the_very_audio_of_another_names_it(tmp_path):
    keys = ["a1", "a2", "a3", "a4"]
    a = write(tmp_path / "in", "a", keys, 2, 0.1)
    again, other = write(tmp_path / "in", "again", keys[::-1], 3, 0.1), write(tmp_path / "in", "b", keys, 1, 0.2)
    found = aligned({"a": a, "again": again, "b": other}, tmp_path / "out", test=1)
    assert found.same_audio == {"again": "a"}
    assert found.audio["a"] == found.audio["again"] != found.audio["b"]


def test_vocoders_with_speakers_need_those_that_they_are_to_speak_as(tmp_path):
    """One name of an utterance's speaker in all sets, and in each set something of that speaker to train on."""
    keys = [f"{'ab'[i % 2]}{i}" for i in range(10)]
    sets = {"raw": write(tmp_path / "in", "raw", keys, 5, 0.1), "clean": write(tmp_path / "in", "clean", keys, 5, 0.2)}
    found = aligned(sets, tmp_path / "out", test=2, by_speaker=True)
    assert {key: about.speaker for key, about in found.said.items()} == {key: key[0] for key in found.test}
    other = write(tmp_path / "in", "other", keys, 5, 0.3, speakers={"a4": ""})
    error = r"utterance a4: its speaker is 'a' in set raw and '' in set other; .*speaker_conditioning=false"
    with pytest.raises(ConfigError, match=error):
        aligned(sets | {"other": other}, tmp_path / "refused", test=2, by_speaker=True)
    assert aligned(sets | {"other": other}, tmp_path / "plain", test=2).test == found.test
    lone = found.test[0]
    alone = {name: write(tmp_path / "in", f"{name}-alone", keys, 5, 0.1, speakers={lone: "c"}) for name in sets}
    with pytest.raises(ConfigError, match=rf"set raw has nothing of speaker 'c' to train on, .* utterance {lone};"):
        aligned(alone, tmp_path / "refused", test=2, by_speaker=True)
    assert not (tmp_path / "refused").exists()
