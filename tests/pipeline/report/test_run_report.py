"""The report of a run in its store: the clips it plays come from the run's own shards."""

import io

import numpy as np
import soundfile

from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.report import made_of
from clean_corpus.pipeline.report.run_report import write_run_report
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.ledgers import RATE, clip, ledger, run_of


def test_the_clips_of_a_report_come_from_the_shards_of_the_run_each_read_once(tmp_path, monkeypatch):
    store = LocalStore(tmp_path / "out")
    clips = [
        clip(name, before=3.0, after=after, chosen="enhanced")
        for name, after in zip("abc", (3.4, 3.3, 3.2), strict=True)
    ]
    store.write("ledger.parquet", ledger(tmp_path, clips).read_bytes())
    tones = {
        name: np.sin(np.arange(RATE) * pitch).astype(np.float32) / 2 for name, pitch in (("raw", 0.1), ("en", 0.3))
    }
    raw, enhanced = (
        shards.write_shard(
            store,
            f"work/{name}.tar",
            [{"__key__": key, "flac": shards.encode_clip(x, RATE, bits=24)} for key in ("a", "b", "other")],
        )
        for name, x in tones.items()
    )
    opened, read = [], store.opened
    monkeypatch.setattr(store, "opened", lambda key: opened.append(key) or read(key))
    heard = dict.fromkeys(("a", "b", "c"), (raw, enhanced))
    facts = {"version": 1, "ledger": "0"}
    assert not made_of.is_of(store, facts)
    write_run_report(store, run_of() | {"made_of": facts}, heard, PipelineConfig(audio={"sample_rate": RATE}))
    assert made_of.is_of(store, facts) and not made_of.is_of(store, facts | {"version": 2})
    assert sorted(opened) == ["ledger.parquet", enhanced.key, raw.key]
    assert len(list(store.walk("report/audio"))) == 4, "clip c lies in neither"
    for version, x in zip(("raw", "enhanced"), tones.values(), strict=True):
        found, rate = soundfile.read(io.BytesIO(store.read(f"report/audio/001-{version}.wav")), dtype="float32")
        np.testing.assert_allclose(found, x, atol=1 / 32768)  # 16 bits
        assert rate == RATE


def test_a_clip_that_lies_in_no_shard_has_no_player(tmp_path):
    store = LocalStore(tmp_path / "out")
    store.write("ledger.parquet", ledger(tmp_path, [clip("a", before=3.0, chosen="raw")]).read_bytes())
    write_run_report(store, run_of(), {}, PipelineConfig(audio={"sample_rate": RATE}))
    assert b"<audio" not in store.read("report/index.html") and not list(store.walk("report/audio"))
