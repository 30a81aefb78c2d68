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


def write(root, name, keys, per_shard, level):
    store = LocalStore(root)
    for i in range(0, len(keys), per_shard):
        samples = [
            {"__key__": k, "flac": encode.encode_flac(np.full(1600, level, np.float32), 16000, bits=16),
             "json": json.dumps({"speaker": k[0]}).encode()}
            for k in keys[i : i + per_shard]
        ]  # fmt: skip
        write_shard(store, f"{name}/{i}.tar", samples)
    return sorted((root / name).glob("*.tar"))


def contents(folder):
    return [[c.key for c in clips(shard)] for shard in sorted(folder.glob("*.tar"))]


def keys_of(folder):
    return sorted(key for shard in contents(folder) for key in shard)


def test_sets_are_aligned_whatever_order_they_came_in(tmp_path):
    keys = [f"{'ab'[i % 2]}{i}" for i in range(150)]
    raw = write(tmp_path / "in", "raw", keys, 40, 0.1)
    gated = write(tmp_path / "in", "gated", keys[::-1][:130], 7, 0.2)
    found = align({"raw": raw, "gated": gated}, tmp_path / "out")
    assert found.common == 130 and found.hours["raw"] == pytest.approx(130 * 0.1 / 3600)
    assert contents(found.folders["raw"]) == contents(found.folders["gated"])
    assert keys_of(found.folders["raw"]) == sorted(keys[20:]) and len(contents(found.folders["raw"])) == 3
    first = next(clips(sorted(found.folders["gated"].glob("*.tar"))[0]))
    assert first.decode(16000)[0] == pytest.approx(0.2, abs=1e-4) and json.loads(first.about)["speaker"] == first.key[0]
    everything = align({"raw": raw, "gated": gated}, tmp_path / "all", "all")
    assert everything.common == 130 and keys_of(everything.folders["raw"]) == sorted(keys)


def test_sets_that_do_not_fit_are_refused(tmp_path):
    a, b = write(tmp_path, "a", ["a1", "a2"], 2, 0.1), write(tmp_path, "b", ["b1"], 2, 0.1)
    with pytest.raises(DataError, match=r"no utterance in common: a 2 \(first: a1\), b 1 \(first: b1\)"):
        align({"a": a, "b": b}, tmp_path / "out")
    with pytest.raises(DataError, match=r"set a, shard .*: utterance a1 comes twice"):
        align({"a": a + a, "b": b}, tmp_path / "out")
    with pytest.raises(ConfigError, match="given 1 times"):
        align({"a": a}, tmp_path / "out")


def test_a_set_with_the_very_audio_of_another_names_it(tmp_path):
    a = write(tmp_path / "in", "a", ["a1", "a2", "a3"], 2, 0.1)
    again, other = (
        write(tmp_path / "in", "again", ["a3", "a1", "a2"], 3, 0.1),
        write(tmp_path / "in", "b", ["a1"], 1, 0.2),
    )
    found = align({"a": a, "again": again}, tmp_path / "out")
    assert found.same_audio == {"again": "a"}
    assert align({"a": a, "b": other}, tmp_path / "out2").same_audio == {}
