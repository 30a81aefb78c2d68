"""DNSMOS against speechmos itself, the rest of the scores against what they are made of."""

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import librosa
import numpy as np
import onnxruntime
import pytest
import signals
import soundfile as sf
import soxr
from speechmos.dnsmos import DNSMOS as Speechmos

from pipeline import metrics, scoring, segment
from pipeline.errors import DataError

RATE = 16000
DATA = Path(os.environ.get("CLEAN_CORPUS_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
NETWORKS = ("sig_bak_ovr.onnx", "model_v8.onnx")


def one_thread(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def speechmos() -> Speechmos:
    paths = [scoring._network_path(network) for network in NETWORKS]
    peer = Speechmos(*map(str, paths))
    peer.onnx_sess, peer.p808_onnx_sess = map(one_thread, paths)  # the same results in less time
    return peer


@pytest.fixture(scope="module")
def dnsmos() -> scoring.Dnsmos:
    return scoring.Dnsmos()


@pytest.fixture(scope="module")
def scorer() -> scoring.Scorer:
    return scoring.Scorer(speech_threshold=0.5)


def assert_equal_scores(ours: dict[str, float], theirs: dict[str, float]) -> None:
    names = {"sig": "sig_mos", "bak": "bak_mos", "ovrl": "ovrl_mos", "p808": "p808_mos"}
    # float32 sums in another order; 1e-5 MOS and less is usual, 1e-3 is far below what a listener could tell
    assert ours == pytest.approx({f"dnsmos_{ours}": theirs[name] for ours, name in names.items()}, abs=1e-3)


# repeated, with a period of whole trunk outputs and of no whole frame; to one window; one window; several
@pytest.mark.parametrize("n_samples", [3 * RATE, 24011, 5 * RATE + 1, 10 * RATE - 1, 15 * RATE])
def test_dnsmos_equals_speechmos(dnsmos, speechmos, n_samples):
    x = signals.noisy_speech(16, 12.0, seed=n_samples)[:n_samples]
    assert_equal_scores(dnsmos(x), speechmos(x, RATE, False))


def test_dnsmos_equals_speechmos_where_it_skips_windows(dnsmos, speechmos):
    x = signals.noisy_speech(35, 20.0, seed=1)[: 34 * RATE]
    assert scoring._window_starts(x.size) == [*range(7), 24]
    assert_equal_scores(dnsmos(x), speechmos(x, RATE, False))


@pytest.mark.parametrize("name", ["crowd/*/*/*.wav", "speech/dev/*/*.flac"])
def test_dnsmos_equals_speechmos_on_real_clips(dnsmos, speechmos, name):
    paths = sorted(DATA.glob(name))
    if not paths:
        pytest.skip(f"no {name} in {DATA}; set CLEAN_CORPUS_DATA")
    for path in paths[:: len(paths) // 2]:
        x, _ = sf.read(path, dtype="float32")
        assert_equal_scores(dnsmos(x), speechmos(x, RATE, False))


def test_dnsmos_runs_the_trunk_once_per_frame_not_once_per_window(dnsmos, monkeypatch):
    n_frames = []
    run = dnsmos._run_trunk
    monkeypatch.setattr(dnsmos, "_run_trunk", lambda frames: n_frames.append(frames.shape[:2]) or run(frames))
    dnsmos(signals.speech(15, seed=1))  # 6 windows: 14.01 s, and their 12 ends
    dnsmos(signals.speech(2, seed=1))  # repeated to 16 s, 7 windows, 200 frames a period
    assert n_frames == [(1, 1400), (12, 24), (1, 248), (14, 24)]


def test_mel_filterbank_is_librosas():
    theirs = librosa.filters.mel(sr=RATE, n_fft=scoring.N_FFT, n_mels=scoring.N_MELS)
    np.testing.assert_allclose(scoring.mel_filterbank(), theirs.T, atol=1e-6)


def test_subgraph_of_everything_is_the_network():
    path = scoring._network_path("model_v8.onnx")
    cut = scoring.subgraph(path.read_bytes(), ("input_1", ("N", 900, 120)), ("Identity:0", ("N", 1)))
    x = np.random.default_rng(0).standard_normal((2, 900, 120)).astype(np.float32)
    ours, theirs = (s.run(None, {"input_1": x})[0] for s in (scoring._session(cut), one_thread(path)))
    np.testing.assert_array_equal(ours, theirs)


def test_subgraph_without_a_path_is_refused():
    model = scoring._network_path("model_v8.onnx").read_bytes()
    for given, wanted in (("nowhere", "Identity:0"), ("input_1", "nowhere"), ("Identity:0", "input_1")):
        with pytest.raises(ValueError, match=f"{given}.*{wanted}"):
            scoring.subgraph(model, (given, (1,)), (wanted, (1,)))


def test_ceilings_are_those_of_the_polynomials():
    published = {"dnsmos_ovrl": 3.93, "dnsmos_sig": 4.01, "dnsmos_bak": 4.36}
    assert {name: round(scoring.CEILINGS[name], 2) for name in published} == published
    for polynomial in scoring.P835_POLYNOMIALS.values():
        mos = np.polyval(polynomial, np.linspace(0, 5, 501))
        assert np.all(np.diff(mos) > 0)  # so the highest is at a raw output of 5
    assert scoring.CEILINGS.keys() < scoring.SCORES.keys()


def test_every_score_of_speech(scorer):
    x = signals.noisy_speech(4, 15.0, seed=3)
    scores = scorer.score(x, sample_rate=RATE)
    assert list(scores) == list(scoring.SCORES)
    assert [name for name, value in scores.items() if value is None] == ["pesq_wb", "stoi", "si_sdr_db"]
    measured = {name: value for name, value in scores.items() if value is not None}
    assert all(type(value) is float and value == float(f"{value:.6g}") for value in measured.values())
    assert json.loads(json.dumps(scores)) == scores
    mask = segment.speech_mask(x, 0.5, sample_rate=RATE)
    assert scores["speech_ratio"] == pytest.approx(mask.mean(), rel=1e-5)
    assert scores["snr_db"] == pytest.approx(metrics.snr_estimate_db(x, mask, RATE), rel=1e-5)
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


def test_dnsmos_of_a_clip_over_full_scale_is_that_of_its_peak_at_full_scale(scorer):
    x = signals.noisy_speech(3, 15.0, seed=4)
    at_full_scale = scorer.score(x / np.abs(x).max(), sample_rate=RATE)
    over = scorer.score(x * 4 / np.abs(x).max(), sample_rate=RATE)
    assert over["dnsmos_ovrl"] == pytest.approx(at_full_scale["dnsmos_ovrl"], abs=1e-4)
    assert over["loudness_lufs"] == pytest.approx(at_full_scale["loudness_lufs"] + 20 * math.log10(4), abs=1e-3)


@pytest.mark.parametrize(
    "x",
    [
        signals.silence(1, RATE),
        np.full(RATE, 0.1, np.float32),
        np.ones(1, np.float32),
        signals.tone(440, 0.01, RATE),
        signals.tone(440, 0.2, RATE),
        signals.tone(440, 0.45, RATE),
        np.eye(1, RATE, 8000, dtype=np.float32)[0],
    ],
    ids=["silence", "offset", "one sample", "10 ms", "200 ms", "450 ms", "impulse"],
)
@pytest.mark.parametrize("sample_rate", [8000, RATE])
def test_what_holds_no_speech_is_scored_without_a_warning(scorer, x, sample_rate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = scorer.score(x, sample_rate=sample_rate, clean=x)
    assert list(scores) == list(scoring.SCORES)
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
    rulers = scoring.rulers()
    assert rulers["dnsmos_p835"] == "speechmos 0.0.1.1 sig_bak_ovr.onnx sha256 " + rulers["dnsmos_p835"][-12:]
    assert rulers["dnsmos_p835"][-12:] != rulers["dnsmos_p808"][-12:]
    assert {ruler.split()[0] for ruler in rulers.values()} == {
        "speechmos", "silero-vad", "pyloudnorm", "pesq", "pystoi", "soxr",
    }  # fmt: skip


def test_import_is_light():
    code = "import sys, pipeline.scoring; print(*({'torch', 'librosa', 'numba', 'pandas'} & sys.modules.keys()))"
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert heavy == []
