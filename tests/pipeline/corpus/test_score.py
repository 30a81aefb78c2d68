"""Stage `score`: each clip once, against its own stretch of the clean reference, under a name that says by what."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from clean_corpus.pipeline.audio.pauses import without
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.types import Clip, Recording
from clean_corpus.pipeline.corpus import score as stage
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.score import score_clips, score_file, score_shard
from clean_corpus.pipeline.corpus.stage_cache import library_versions
from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer
from clean_corpus.pipeline.quality.scorer import Scorer, rulers
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import signals

RATE = 16000
AT_16K = {"sample_rate": RATE}
AS_IT_IS = AT_16K | {"loudness_lufs": None, "true_peak_db": 0.0}
CONFIG = PipelineConfig(audio=AS_IT_IS)


class Peak:
    """A scorer whose one score is the highest sample, and whether the clean reference is the clip itself."""

    def score(self, x, *, sample_rate, clean=None, own=None):
        if np.abs(x).max() > 0.8:
            raise DataError("too loud")
        alike = None if clean is None else float(np.allclose(clean, x, atol=0.04))
        return {"peak": round(float(np.abs(x).max()), 1), "equal": alike}


class Close(Peak):
    """The same but for the last 50 ms."""

    def score(self, x, *, sample_rate, clean=None, own=None):
        end = len(x) - sample_rate // 20
        return super().score(x[:end], sample_rate=sample_rate, clean=None if clean is None else clean[:end])


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "out")


@pytest.fixture
def written(store):
    """Two quiet clips of one recording, the second from 1 s on, and a loud one of another."""
    x = {"a-0": tone(0), "a-1": tone(1), "b": np.full(RATE, 0.95, np.float32)}
    samples = ({"__key__": name, "flac": shards.encode_clip(y, RATE, bits=24)} for name, y in x.items())
    clips = [Clip("a-0", "a.wav", None, 0.0, 1.0), Clip("a-1", "a.wav", None, 1.0, 1.0), Clip("b", "b.wav", None)]
    return shards.write_shard(store, "work/raw/g-000.tar", samples), clips


def tone(second: int) -> np.ndarray:
    return (0.2 + 0.2 * second) * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)


def test_each_clip_is_scored_and_the_one_at_fault_fails(store, written):
    shard, clips = written
    outcome = score_shard(store, shard, clips, Peak, CONFIG, {})
    peaks = {name: (row["peak"], row["equal"]) for name, row in outcome.result.scores.items()}
    assert peaks == {"a-0": (0.2, None), "a-1": (0.4, None)}
    assert outcome.result.failed == {"b": "score: too loud"}
    again = score_shard(store, shard, clips, lambda: pytest.fail("no work"), CONFIG, {})
    assert again.reused and again.result == outcome.result
    assert score_shard(store, None, [], Peak, CONFIG, {}).result.scores == {}


def test_a_clip_is_held_against_its_own_stretch_of_the_clean_reference(store, written, tmp_path):
    shard, clips = written
    soundfile.write(tmp_path / "clean.wav", np.concatenate([tone(0), tone(1)]), RATE)
    config = PipelineConfig(audio=AS_IT_IS, score={"clean_dir": str(tmp_path)})
    outcome = score_shard(store, shard, clips, Peak, config, {"a.wav": tmp_path / "clean.wav"})
    assert [row["equal"] for row in outcome.result.scores.values()] == [1.0, 1.0]
    soundfile.write(tmp_path / "clean.wav", np.concatenate([tone(0), tone(0)]), RATE)
    stage._read_reference.cache_clear()
    other = score_shard(store, shard, clips, Peak, config, {"a.wav": tmp_path / "clean.wav"})
    assert not other.reused and [row["equal"] for row in other.result.scores.values()] == [1.0, 0.0]


def test_a_clip_whose_reference_cannot_be_had_fails_alone_and_is_scored_again_when_it_can(store, written, tmp_path):
    shard, clips = written
    soundfile.write(tmp_path / "clean.wav", np.full(2 * RATE, 0.5, np.float32), RATE)
    config = PipelineConfig(audio=AT_16K, score={"clean_dir": str(tmp_path)})
    references = {"a.wav": tmp_path / "clean.wav", "b.wav": DataError("clean reference b: archived")}
    outcome = score_shard(store, shard, clips, Peak, config, references)
    assert set(outcome.result.scores) == {"a-0", "a-1"}
    assert outcome.result.failed == {"b": "score: clean reference b: archived"}
    assert not score_shard(store, shard, clips, Peak, config, {"a.wav": tmp_path / "clean.wav"}).reused
    assert score_file(Recording("a", "a", 9, None), tmp_path, references["b.wav"], Peak(), CONFIG.audio) != {}


def test_a_name_depends_on_what_it_declares_alone(store, written, tmp_path, monkeypatch):
    shard, clips = written
    parts = []
    monkeypatch.setattr(stage, "content_name", lambda *some: parts.append(some) or f"name {len(parts)}")
    soundfile.write(tmp_path / "clean.wav", np.concatenate([tone(0), tone(1)]), RATE)
    reference = {"a.wav": tmp_path / "clean.wav"}
    score_shard(store, shard, clips, Peak, PipelineConfig(audio=AT_16K), reference)
    score_shard(store, shard, clips, Peak, PipelineConfig(audio=AT_16K, score={"clean_dir": str(tmp_path)}), reference)
    head = ("score", stage.VERSION, shard.sha256, ["a-0", "a-1", "b"])
    level = {"loudness_lufs": -23.0, "true_peak_db": -1.0}
    tail = (rulers("whole"), level, 0.5, library_versions("onnxruntime", "pyloudnorm", "soxr"))
    digest = sha256_file(tmp_path / "clean.wav")
    assert parts[0] == (*head, [], *tail)
    assert parts[1][:4] == head and parts[1][4][0] == [digest, digest, None] and parts[1][5:] == tail


def test_a_file_is_scored_or_says_why_not(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1), RATE)
    recording = Recording("a.wav", "a.wav", 9, None)
    found = score_file(recording, tmp_path, None, Peak(), CONFIG.audio)
    assert (found["peak"], found["equal"], found["clipping_ratio"]) == (0.4, None, 0.0)
    assert score_file(recording, tmp_path, tmp_path / "a.wav", Peak(), CONFIG.audio)["equal"] == 1.0
    gone = Recording("gone.wav", "gone.wav", 9, None)
    assert "No such file" in score_file(gone, tmp_path, None, Peak(), CONFIG.audio)


def test_a_clip_is_scored_at_the_level_that_it_is_published_at(store, tmp_path):
    """P.835 hears level: what arrives at -20 and at -45 dBFS is published alike, so it ends alike."""
    loud = signals.noisy_speech(4, 15.0, seed=1)
    loud *= np.float32(0.1 / np.sqrt(np.mean(loud**2)))
    x = {"loud": loud, "soft": loud * np.float32(10 ** (-25 / 20))}
    flac = {name: shards.encode_clip(y, RATE, bits=24) for name, y in x.items()}
    shard = shards.write_shard(store, "work/raw/l-000.tar", [{"__key__": n, "flac": f} for n, f in flac.items()])
    ruler = Scorer(speech_threshold=0.5, dnsmos_windows="whole")
    clips = [Clip(name, f"{name}.wav", None, 0.0, 4.0) for name in x]
    scores = score_shard(store, shard, clips, lambda: ruler, PipelineConfig(audio=AT_16K), {}).result.scores
    side_by_side = BatchedScorer(speech_threshold=0.5, dnsmos_windows="whole", device="cpu")  # as on a GPU
    elsewhere = LocalStore(tmp_path / "other")
    shards.write_shard(elsewhere, "work/raw/l-000.tar", [{"__key__": n, "flac": f} for n, f in flac.items()])
    found = score_shard(elsewhere, shard, clips, lambda: side_by_side, PipelineConfig(audio=AT_16K), {}).result
    assert list(found.scores) == list(scores) and not found.failed
    for name, row in scores.items():
        assert found.scores[name] == pytest.approx(row, abs=1e-3)
    loud_scores, soft_scores = scores.values()
    assert loud_scores["loudness_lufs"] - soft_scores["loudness_lufs"] == pytest.approx(25, abs=0.01), "its own"
    for name in ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "snr_db", "speech_ratio"):
        assert soft_scores[name] == pytest.approx(loud_scores[name], abs=0.02), name
    unlevelled = [ruler.score(y, sample_rate=RATE)["dnsmos_ovrl"] for y in x.values()]
    assert abs(unlevelled[0] - unlevelled[1]) > 0.1, "the opinion of the same speech at two levels"


@pytest.mark.parametrize("difference", [-400, -1, 1, 400])
def test_a_reference_that_is_a_little_longer_or_shorter_is_cut_or_continued(store, written, tmp_path, difference):
    x = np.concatenate([tone(0), tone(1), tone(1)])[: 2 * RATE + difference]
    soundfile.write(tmp_path / "clean.wav", x, RATE)
    stage._read_reference.cache_clear()
    shard, clips = written
    config = PipelineConfig(audio=AS_IT_IS, score={"clean_dir": str(tmp_path)})
    outcome = score_shard(store, shard, clips[:2], Close, config, {"a.wav": tmp_path / "clean.wav"})
    assert outcome.result.failed == {} and [row["equal"] for row in outcome.result.scores.values()] == [1.0, 1.0]
    soundfile.write(tmp_path / "a.wav", x[: 2 * RATE], RATE)
    recording = Recording("a.wav", "a.wav", 9, None)
    assert score_file(recording, tmp_path, tmp_path / "clean.wav", Close(), CONFIG.audio)["equal"] == 1.0


def test_a_reference_of_another_length_fails_with_both(store, written, tmp_path):
    soundfile.write(tmp_path / "clean.wav", np.concatenate([tone(0), tone(1)])[: 2 * RATE - 500], RATE)
    stage._read_reference.cache_clear()
    shard, clips = written
    config = PipelineConfig(audio=AS_IT_IS, score={"clean_dir": str(tmp_path)})
    outcome = score_shard(store, shard, clips[:2], Close, config, {"a.wav": tmp_path / "clean.wav"})
    assert outcome.result.failed == {
        "a-1": "score: clean reference lasts 0.969 s, the clip 1.000 s; they must be sample-aligned"
    }


def test_a_file_is_measured_at_its_own_rate(tmp_path):
    x = soxr.resample(signals.speech(3, seed=0), RATE, 48000)
    soundfile.write(tmp_path / "a.wav", np.clip(x, -0.1, 0.1), 48000)
    found = score_file(Recording("a.wav", "a.wav", 9, None), tmp_path, None, Close(), CONFIG.audio)
    assert found["clipping_ratio"] > 0.01 and found["bandwidth_hz"] > 9000


class Rate(Peak):
    """A scorer whose one score is the rate that it is given."""

    def score(self, x, *, sample_rate, clean=None, own=None):
        return {"rate": sample_rate, "seconds": len(x) / sample_rate}


@pytest.mark.parametrize(("rate", "scored_at"), [(8000, 16000), (16000, 16000), (22050, 22050), (96000, 48000)])
def test_a_file_is_scored_at_a_rate_that_holds_it(tmp_path, rate, scored_at):
    soundfile.write(tmp_path / "a.wav", signals.tone(440, 1, rate), rate)
    found = score_file(Recording("a.wav", "a.wav", 9, None), tmp_path, None, Rate(), CONFIG.audio)
    assert (found["rate"], found["seconds"]) == (scored_at, 1.0)


def test_clips_that_a_run_would_reject_at_once_are_not_scored(tmp_path: Path):
    soundfile.write(tmp_path / "speech.wav", signals.speech(3, seed=0), RATE)
    soundfile.write(tmp_path / "silent.wav", signals.silence(3, RATE), RATE)
    ((duration_s, scores),) = score_clips(Recording("speech.wav", "", 9, None), tmp_path, Peak(), CONFIG)
    assert 2.9 < duration_s <= 3.0 and scores["peak"] > 0.1
    assert score_clips(Recording("silent.wav", "", 9, None), tmp_path, Peak(), PipelineConfig(audio=AT_16K)) == []


def test_the_clean_version_lacks_what_was_taken_out_of_the_clip(tmp_path):
    x = np.concatenate([tone(0), np.zeros(2 * RATE, np.float32), tone(1)])
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    clip = Clip("a", "a.wav", None, offset_s=0.5, duration_s=2.0, removed=((1.4, 1.5),))
    clean = stage._clean_version(clip, tmp_path / "a.wav", CONFIG.audio)
    assert len(clean) == 2 * RATE == round((clip.end_s - clip.offset_s - clip.removed_s) * RATE)
    wanted = without(x[RATE // 2 : 4 * RATE], [(round(0.9 * RATE), round(1.5 * RATE))], RATE)
    np.testing.assert_allclose(clean[RATE // 4 : -RATE // 4], wanted[RATE // 4 : -RATE // 4], atol=0.02)
