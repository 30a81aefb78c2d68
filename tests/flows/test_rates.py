"""A recording of 48 kHz through the stages of a run at several rates of the corpus."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers.serving.any_rate import at_rate
from clean_corpus.pipeline.audio import loudness
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.records import Ending
from clean_corpus.pipeline.core.types import Decision, Verdict
from clean_corpus.pipeline.corpus import enhance, ingest, publish, score, shards
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.quality import duplicates
from clean_corpus.pipeline.quality.scorer import Scorer
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import signals

RATES = (16000, 22050, 48000)


class Halving:
    """A network at 16 kHz."""

    sample_rate = 16000

    def __call__(self, noisy, lengths):
        return noisy / 2


@pytest.fixture(scope="module")
def ruler() -> Scorer:
    return Scorer(speech_threshold=0.5, dnsmos_windows="whole")


@pytest.fixture(scope="module")
def made(tmp_path_factory, ruler):
    """Rate -> (raw shard, outcome of each stage, store)."""
    folder = tmp_path_factory.mktemp("rates")
    (folder / "in").mkdir()
    breath = 0.003 * np.random.default_rng(0).standard_normal(3 * 48000)
    x = resample(signals.speech(3, seed=4), 16000, 48000) + breath.astype(np.float32)
    soundfile.write(folder / "in" / "a.wav", 0.9 * x / np.abs(x).max(), 48000, subtype="PCM_24")
    found = {}
    for rate in RATES:
        store = LocalStore(folder / f"out-{rate}")
        config = PipelineConfig(audio={"sample_rate": rate}, segment={"trim": False})
        (raw,) = ingest.ingest_group(store, folder / "in", find_all(folder / "in", exclude=None), config).result.shards
        network = at_rate(Halving(), rate)
        enhanced = enhance.enhance_shard(store, raw, lambda net=network: net, "halving", config).result
        scores = score.score_shard(store, enhanced.shard, raw.clips, lambda: ruler, config, {}).result
        kept = Ending(raw.clips[0], Decision(Verdict.KEPT, chosen="enhanced"), {}, {})
        tars = publish.publish_shard(store, raw, enhanced.shard, [kept], config).result
        found[rate] = store, raw, enhanced, scores, tars
    return found


def audio(store, shard) -> tuple[np.ndarray, int]:
    (sample,) = shards.read_shard(store, shard)
    return shards.decode.decode(sample["flac"])


@pytest.mark.parametrize("rate", RATES)
def test_length_level_and_peak_are_the_same_at_every_rate(made, rate):
    store, raw, enhanced, scores, tars = made[rate]
    (noisy, at_1), (clean, at_2), (published, at_3) = (audio(store, s) for s in (raw.shard, enhanced.shard, tars.kept))
    assert at_1 == at_2 == at_3 == rate and len(noisy) == len(clean) == len(published) == 3 * rate
    assert not scores.failed and enhanced.residual_snr_db == {raw.clips[0].clip_id: pytest.approx(100, abs=70)}
    gain = np.sqrt(np.mean(clean**2) / np.mean(noisy**2))
    assert gain == pytest.approx(0.5, abs=0.01), "the gain of the network is followed above it too"
    assert loudness.loudness_lufs(published, rate) == pytest.approx(-23, abs=0.1)
    assert loudness.true_peak_db(published, rate) <= -0.9


def test_a_ruler_reads_the_same_at_every_rate(made):
    scores = [next(iter(made[rate][3].scores.values())) for rate in RATES]
    for name, tolerance in {"dnsmos_ovrl": 0.1, "dnsmos_bak": 0.1, "speech_ratio": 0.03}.items():
        assert np.ptp([row[name] for row in scores]) < tolerance, name
    snr_db = [row["snr_db"] for row in scores]
    assert snr_db == sorted(snr_db, reverse=True) and np.ptp(snr_db) < 8, "white noise has power in the band above too"
    assert [row["bandwidth_hz"] for row in scores] == pytest.approx([7800, 10700, 24000], abs=200)
    clips = [made[rate][1].clips[0] for rate in RATES]
    assert {(clip.bandwidth_hz, clip.clipping_ratio, clip.cutoff_hz) for clip in clips} == {(24000.0, 0.0, None)}


def test_copies_are_recognised_at_the_rate_of_fingerprints(made):
    """Fingerprints are of 6 kHz, so those of a corpus at any rate are alike."""
    raws = [made[rate][1] for rate in RATES]
    shards_of_one = [
        replace(raw, clips=[replace(raw.clips[0], clip_id=f"c{i}", source=f"{i}.wav")]) for i, raw in enumerate(raws)
    ]
    (group,) = duplicates.find_copies(duplicates.to_compare(shards_of_one), PipelineConfig().dedup)
    assert group.bit_error.keys() == {"c0", "c1", "c2"}
