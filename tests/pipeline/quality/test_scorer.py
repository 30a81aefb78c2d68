"""Each score against what it is made of."""

import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soxr

from clean_corpus.pipeline.audio import voice_activity
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.quality import dnsmos, signal_measures
from clean_corpus.pipeline.quality import scorer as scoring
from tests.support import signals

RATE = 16000


@pytest.fixture(scope="module")
def scorer() -> scoring.Scorer:
    return scoring.Scorer(speech_threshold=0.5, dnsmos_windows="whole")


def test_ceilings_are_those_of_the_polynomials():
    published = {"dnsmos_ovrl": 3.93, "dnsmos_sig": 4.01, "dnsmos_bak": 4.36}
    assert {name: round(scoring.CEILINGS[name], 2) for name in published} == published
    for polynomial in dnsmos.P835_POLYNOMIALS.values():
        mos = np.polyval(polynomial, np.linspace(0, 5, 501))
        assert np.all(np.diff(mos) > 0)  # so the highest is at a raw output of 5
    assert scoring.CEILINGS.keys() < scoring.SCORES.keys()


def test_every_score_of_speech(scorer):
    x = signals.noisy_speech(4, 15.0, seed=3)
    scores = scorer.score(x, sample_rate=RATE)
    assert list(scores) == [name for name in scoring.SCORES if name not in scoring.OPTIONAL]
    assert [name for name, value in scores.items() if value is None] == ["pesq_wb", "stoi", "si_sdr_db"]
    measured = {name: value for name, value in scores.items() if value is not None}
    assert all(type(value) is float and value == float(f"{value:.6g}") for value in measured.values())
    assert json.loads(json.dumps(scores)) == scores
    mask = voice_activity.speech_mask(x, 0.5, sample_rate=RATE)
    assert scores["speech_ratio"] == pytest.approx(mask.mean(), rel=1e-5)
    assert scores["snr_db"] == pytest.approx(signal_measures.snr_estimate_db(x, mask, RATE), rel=1e-5)
    assert scores["clipping_ratio"] == 0
    assert scores["bandwidth_hz"] == RATE / 2
    assert scores["loudness_lufs"] == pytest.approx(-23, abs=3)  # RMS -23 dB


def test_noise_lowers_the_scores(scorer):
    clean = signals.speech(4, seed=3)
    by_snr = [scorer.score(signals.noisy_speech(4, snr, seed=3), sample_rate=RATE, clean=clean) for snr in (0, 20)]
    for name in ("dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808", "snr_db", "pesq_wb", "stoi", "si_sdr_db"):
        assert by_snr[0][name] < by_snr[1][name]
    assert by_snr[0]["si_sdr_db"] == pytest.approx(0, abs=0.5)  # the noise is not wholly orthogonal
    assert by_snr[1]["si_sdr_db"] == pytest.approx(20, abs=0.5)


def test_a_clip_that_is_its_own_clean_twin(scorer):
    x = signals.speech(4, seed=3)
    scores = scorer.score(x, sample_rate=RATE, clean=x)
    for name in ("pesq_wb", "stoi", "si_sdr_db"):
        assert scores[name] == pytest.approx(scoring.CEILINGS[name], abs=1e-3)


def test_other_rates_are_resampled_for_the_rulers_at_16_khz(scorer):
    x = signals.noisy_speech(3, 15.0, seed=4)
    at_48k = soxr.resample(x, RATE, 48000)
    scores = scorer.score(at_48k, sample_rate=48000, clean=at_48k)
    expected = scorer.score(soxr.resample(at_48k, 48000, RATE), sample_rate=RATE)
    for name in ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808"):
        assert scores[name] == expected[name]
    assert scores["pesq_wb"] == pytest.approx(scoring.CEILINGS["pesq_wb"], abs=1e-3)


def test_a_rate_whose_windows_are_fractions_of_a_sample_is_scored_too(scorer):
    x = signals.noisy_speech(3, 15.0, seed=4)
    for rate, n_samples in ((22050, 61234), (48000, 1537)):  # the detector counts another window than the samples have
        y = np.resize(soxr.resample(x, RATE, rate), n_samples)
        scores = scorer.score(y, sample_rate=rate)
        assert n_samples < rate or scores["snr_db"] == pytest.approx(15, abs=6)


def test_dnsmos_of_a_clip_over_full_scale_is_that_of_its_peak_at_full_scale(scorer):
    x = signals.noisy_speech(3, 15.0, seed=4)
    at_full_scale = scorer.score(x / np.abs(x).max(), sample_rate=RATE)
    over = scorer.score(x * 4 / np.abs(x).max(), sample_rate=RATE)
    assert over["dnsmos_ovrl"] == pytest.approx(at_full_scale["dnsmos_ovrl"], abs=1e-4)
    assert over["loudness_lufs"] == pytest.approx(at_full_scale["loudness_lufs"] + 20 * math.log10(4), abs=1e-3)


@pytest.mark.parametrize(
    ("x", "sample_rate"),
    [
        (signals.silence(1, RATE), RATE),
        (np.full(RATE, 0.1, np.float32), 8000),
        (np.ones(1, np.float32), RATE),
        (signals.tone(440, 0.01, RATE), RATE),
        (signals.tone(440, 0.2, RATE), RATE),
        (signals.tone(440, 0.45, RATE), RATE),
        (np.eye(1, RATE, 8000, dtype=np.float32)[0], RATE),
    ],
    ids=["silence", "offset", "one sample", "10 ms", "200 ms", "450 ms", "impulse"],
)
def test_what_holds_no_speech_is_scored_without_a_warning(scorer, x, sample_rate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = scorer.score(x, sample_rate=sample_rate, clean=x)
    assert list(scores) == [name for name in scoring.SCORES if name not in scoring.OPTIONAL]
    assert all(value is None or math.isfinite(value) for value in scores.values())
    assert scores["snr_db"] is None


def test_silence_and_very_short_clips_have_no_opinion_score(scorer):
    for x in (signals.silence(1, RATE), np.ones(1, np.float32), signals.tone(440, 0.01, RATE)):
        scores = scorer.score(x, sample_rate=RATE, clean=x)
        absent = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808", "pesq_wb", "stoi")
        assert all(scores[name] is None for name in absent)


def test_bad_shapes_are_refused_with_both_values(scorer):
    with pytest.raises(DataError, match=r"100 samples.* 99;"):
        scorer.score(np.zeros(99, np.float32), sample_rate=RATE, clean=np.zeros(100, np.float32))
    for shape in ((0,), (2, 100)):
        with pytest.raises(ValueError, match=str(shape[0])):
            scorer.score(np.zeros(shape, np.float32), sample_rate=RATE)


def test_rulers_name_every_version():
    rulers = scoring.rulers("whole")
    hashes = [rulers[name].split()[4].rstrip(",") for name in ("dnsmos_p835", "dnsmos_p808")]
    assert rulers["dnsmos_p835"] == f"speechmos 0.0.1.1 sig_bak_ovr.onnx sha256 {hashes[0]}, whole windows"
    assert hashes[0] != hashes[1] and [*map(len, hashes)] == [12, 12]
    assert scoring.rulers("speechmos")["dnsmos_p808"].endswith(", speechmos windows")
    assert {ruler.split()[0] for ruler in rulers.values()} == {
        "speechmos", "silero-vad", "pyloudnorm", "pesq", "pystoi", "soxr",
    }  # fmt: skip


def test_import_is_light():
    heavy = {"torch", "librosa", "numba", "pandas", "scipy"}
    code = f"import sys, clean_corpus.pipeline.quality.scorer; print(*({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_pesq_of_a_long_recording_is_the_mean_over_its_stretches(mode):
    """P.862's code wrote beyond its 50 utterances: a recording of two minutes had another score, or ended the process.

    The same 20 s of 15 utterances over and over have one score, however often; 20 s of silence change nothing.
    """
    rng = np.random.default_rng(0)
    bursts = [np.concatenate((0.1 * rng.standard_normal(6400), np.zeros(6400))) for _ in range(15)]
    clean = np.concatenate((*bursts, np.zeros(8 * RATE))).astype(np.float32)
    noisy = clean + (0.01 * rng.standard_normal(clean.size)).astype(np.float32)
    score = scoring.pesq_lqo(noisy, clean, mode)
    assert 1.1 < score < 4 and clean.size == 20 * RATE
    assert scoring.pesq_lqo(np.tile(noisy, 5), np.tile(clean, 5), mode) == pytest.approx(score, abs=1e-6)
    silence = np.zeros_like(clean)
    assert scoring.pesq_lqo(np.append(noisy, silence), np.append(clean, silence), mode) == score
