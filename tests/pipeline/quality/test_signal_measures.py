"""Each measure against an answer known beforehand."""

import numpy as np
import pytest
import soxr
from scipy import signal

from clean_corpus.pipeline.audio import synthetic
from clean_corpus.pipeline.quality import signal_measures
from tests.support import signals

RATE = 16000
N_FFT = 512


def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def orthogonal(n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Two tones without a common component, equal in power."""
    time_s = np.arange(n_samples) / RATE
    return np.sin(2 * np.pi * 500 * time_s), np.cos(2 * np.pi * 500 * time_s)


def as_16_bit(x: np.ndarray) -> np.ndarray:
    return (np.round(x * 32767) / 32767).astype(np.float32)


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 7.5, 60.0])
def test_si_sdr_and_global_snr_of_an_orthogonal_error(snr_db):
    reference, error = orthogonal(RATE)
    estimate = reference + error * 10 ** (-snr_db / 20)
    # rounding of the tones' sampled powers only
    assert signal_measures.si_sdr_db(estimate, reference) == pytest.approx(snr_db, abs=1e-6)
    assert signal_measures.global_snr_db(estimate, reference) == pytest.approx(snr_db, abs=1e-6)


def test_si_sdr_does_not_hear_gain_and_offset_but_global_snr_does():
    reference, error = orthogonal(RATE)
    estimate = reference + 0.1 * error
    assert signal_measures.si_sdr_db(0.2 * estimate + 0.3, reference) == pytest.approx(20.0, abs=1e-6)
    assert signal_measures.global_snr_db(0.5 * reference, reference) == pytest.approx(6.0206, abs=1e-4)


@pytest.mark.parametrize("measure", [signal_measures.si_sdr_db, signal_measures.global_snr_db])
def test_perfect_and_silent_pairs(measure):
    reference, _ = orthogonal(RATE)
    assert measure(reference, reference) == 100.0
    assert np.isnan(measure(reference, np.zeros(RATE)))
    assert measure(np.zeros(RATE), reference) == (-100.0 if measure is signal_measures.si_sdr_db else 0.0)


@pytest.mark.parametrize("measure", [signal_measures.si_sdr_db, signal_measures.global_snr_db])
def test_pairs_of_other_shapes_are_refused_with_both(measure):
    with pytest.raises(ValueError, match=r"\(5,\).*\(4,\)"):
        measure(np.ones(5), np.ones(4))
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        measure(np.ones((2, 3)), np.ones((2, 3)))


# a pre-gain ceiling, a later gain, and whether the result is rounded to 16 bits
@pytest.mark.parametrize(("ceiling", "gain"), [(1.0, 1.0), (0.5, 1.0), (0.5, 0.02), (0.5, 1.9), (0.2, 0.9)])
def test_clipping_is_seen_at_full_scale_and_below(ceiling, gain):
    x = 2 * ceiling * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE))
    clipped = as_16_bit(np.clip(x, -ceiling, ceiling) * gain)
    # sin is over 1/2 for two thirds of its period; tops begin and end between samples
    assert signal_measures.clipping_ratio(clipped) == pytest.approx(2 / 3, abs=0.03)


def test_clipping_of_one_side_only():
    x = np.minimum(np.sin(2 * np.pi * 440 / RATE * np.arange(RATE)), 0.5)
    assert signal_measures.clipping_ratio(x) == pytest.approx(1 / 3, abs=0.02)


def test_clipped_speech_share():
    speech = signals.speech(8, seed=1)
    ceiling = 0.4 * np.abs(speech).max()
    cut = np.abs(speech) >= ceiling
    found = signal_measures.clipping_ratio(as_16_bit(np.clip(speech, -ceiling, ceiling)))
    assert 0.6 * cut.mean() < found <= 1.02 * cut.mean()  # runs of one and two samples do not count


@pytest.mark.parametrize("level_db", [-3.0, -20.0, -60.0, -80.0])
@pytest.mark.parametrize("freq_hz", [5, 20, 50, 100, 440, 2000, 4000, 8000])
def test_a_clean_tone_is_not_clipped(freq_hz, level_db):
    x = signals.tone(freq_hz, 1, RATE, level_db)
    assert signal_measures.clipping_ratio(x) == 0
    assert signal_measures.clipping_ratio(as_16_bit(x)) == 0


NOT_CLIPPED = {
    "speech": lambda: signals.speech(6, seed=3),
    "quiet speech": lambda: as_16_bit(signals.speech(6, seed=3) * 0.01),
    "noise": lambda: synthetic.coloured_noise(rng(), RATE, slope=1),
    "impulse": lambda: np.eye(1, 1000, 500)[0],
    "silence": lambda: signals.silence(1, RATE),
    "offset": lambda: np.full(RATE, 0.25),
    "one sample": lambda: np.ones(1),
}


@pytest.mark.parametrize("name", NOT_CLIPPED)
def test_what_is_not_clipped(name):
    assert signal_measures.clipping_ratio(NOT_CLIPPED[name]()) == 0


def lowpassed(x: np.ndarray, cutoff_hz: int) -> np.ndarray:
    return as_16_bit(soxr.resample(soxr.resample(x, RATE, 2 * cutoff_hz), 2 * cutoff_hz, RATE))


@pytest.mark.parametrize("cutoff_hz", [2000, 3400, 4000, 5500, 7000])
@pytest.mark.parametrize("sound", ["white noise", "speech"])
def test_bandwidth_after_a_steep_lowpass(sound, cutoff_hz):
    white = 0.05 * synthetic.coloured_noise(rng(), 4 * RATE, slope=0)
    # recorded speech is full-band by its breath and room; the voices of the demo need some of it
    x = white if sound == "white noise" else signals.speech(4, seed=1) + 0.02 * white
    # the resampler's passband ends at 91 to 100 % of the cutoff
    assert 0.9 * cutoff_hz < signal_measures.effective_bandwidth_hz(lowpassed(x, cutoff_hz), RATE) < cutoff_hz + 50
    assert signal_measures.effective_bandwidth_hz(x, RATE) == RATE / 2


@pytest.mark.parametrize("gain", [0.003, 0.03, 1.0])
def test_bandwidth_does_not_depend_on_level(gain):
    telephone = lowpassed(0.2 * synthetic.coloured_noise(rng(), 4 * RATE, slope=0), 4000)
    assert signal_measures.effective_bandwidth_hz(as_16_bit(telephone * gain), RATE) == pytest.approx(3900, abs=100)


@pytest.mark.parametrize("lower", [8000, 16000, 22050, 24000])
def test_the_spectrum_of_what_was_upsampled_ends_at_the_lower_rate(lower):
    x = synthetic.coloured_noise(rng(), 2 * 48000, slope=1) * 0.2
    power = signal_measures.power_spectrum(
        as_16_bit(soxr.resample(soxr.resample(x, 48000, lower), lower, 48000)), 48000
    )
    assert 0.85 * lower / 2 < signal_measures.cutoff_of_spectrum_hz(power, 48000) < lower / 2 + 100


def test_a_dark_voice_has_a_narrow_band_and_no_end_of_its_spectrum():
    """24 dB lower with each octave from 1500 Hz on, in a quiet room: 5 kHz of 24 are heard."""
    fade = signal.butter(4, 1500, fs=48000, output="sos")
    voice = signal.sosfilt(fade, synthetic.coloured_noise(rng(), 2 * 48000, slope=0)) * 0.5
    power = signal_measures.power_spectrum(as_16_bit(voice + 1e-4 * rng().standard_normal(len(voice))), 48000)
    assert signal_measures.bandwidth_of_spectrum_hz(power, 48000, step=2**-15) < 7000
    assert np.isnan(signal_measures.cutoff_of_spectrum_hz(power, 48000))


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100, 48000])
def test_bandwidth_of_a_tone_at_any_rate(sample_rate):
    # a line is spread by the window and the smoothing, and its foot 50 dB down is wider
    assert signal_measures.effective_bandwidth_hz(signals.tone(2000, 1, sample_rate), sample_rate) == pytest.approx(
        2100, abs=60
    )


@pytest.mark.parametrize("x", [np.zeros(RATE), np.full(RATE, 0.5), np.ones(N_FFT - 1)], ids=["zero", "offset", "short"])
def test_bandwidth_of_nothing(x):
    assert np.isnan(signal_measures.effective_bandwidth_hz(x, RATE))


def bursts(snr_db: float, *, n_windows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """White noise, and white "speech" in every other third of 20 windows, with the mask that is true."""
    mask = np.arange(n_windows) // 20 % 3 == 1
    noise = rng().standard_normal(n_windows * N_FFT)
    speech = np.random.default_rng(5).standard_normal(n_windows * N_FFT) * np.repeat(mask, N_FFT)
    return 0.01 * (noise + speech * 10 ** (snr_db / 20)), mask


@pytest.mark.parametrize("snr_db", [-5, 0, 5, 10, 20, 30, 40])
def test_snr_with_a_true_mask(snr_db):
    x, mask = bursts(snr_db)
    assert signal_measures.snr_estimate_db(x, mask, RATE) == pytest.approx(snr_db, abs=0.5)  # of 51200 random samples
    assert signal_measures.snr_estimate_db(0.1 * x + 0.2, mask, RATE) == pytest.approx(snr_db, abs=0.5)


def test_snr_does_not_take_onsets_for_background():
    x, mask = bursts(40)
    late = mask & np.roll(mask, 2)  # the mask misses the first two windows of each burst
    assert signal_measures.snr_estimate_db(x, late, RATE) == pytest.approx(40, abs=0.5)


def test_snr_without_pauses_takes_the_quietest_tenth():
    x, mask = bursts(20)
    assert signal_measures.snr_estimate_db(x, np.ones_like(mask), RATE) == pytest.approx(
        20 + 10 * np.log10(1 / 3), abs=1.0
    )


def test_snr_limits():
    x, mask = bursts(0)
    assert signal_measures.snr_estimate_db(x * np.repeat(mask, N_FFT), mask, RATE) == 60.0
    assert signal_measures.snr_estimate_db(x * np.repeat(~mask, N_FFT), mask, RATE) == -10.0
    assert np.isnan(signal_measures.snr_estimate_db(np.zeros_like(x), mask, RATE))
    assert np.isnan(signal_measures.snr_estimate_db(x, np.zeros_like(mask), RATE))


@pytest.mark.parametrize(("n_samples", "sample_rate", "n_windows"), [(513, 16000, 2), (512, 8000, 2), (1, 48000, 1)])
def test_snr_mask_counts_begun_windows(n_samples, sample_rate, n_windows):
    x = np.ones(n_samples)
    for near in (n_windows - 1, n_windows, n_windows + 1):
        signal_measures.snr_estimate_db(x, np.ones(near, bool), sample_rate)
    with pytest.raises(ValueError, match=rf"\({n_windows + 2},\).* {n_windows} windows"):
        signal_measures.snr_estimate_db(x, np.ones(n_windows + 2, bool), sample_rate)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
def test_snr_at_any_sample_rate(sample_rate):
    """Windows of 32 ms are a fraction of a sample longer or shorter: over a minute the mask would run away."""
    x, mask = bursts(20)
    y = soxr.resample(x, RATE, sample_rate)
    found = signal_measures.snr_estimate_db(y, speech_mask(y, sample_rate, mask), sample_rate)
    assert found == pytest.approx(20, abs=2.0 if sample_rate < RATE else 1.0)


def speech_mask(y: np.ndarray, sample_rate: int, mask: np.ndarray) -> np.ndarray:
    """Return a true mask at the length that the detector gives for a signal at this rate."""
    n = -(-len(soxr.resample(y, sample_rate, RATE)) // N_FFT)
    return np.resize(mask, n) if n <= len(mask) else np.append(mask, False)


@pytest.mark.parametrize("x", [np.zeros(0), np.zeros((3, 2))], ids=["empty", "two channels"])
def test_other_shapes_are_refused(x):
    for measure in (
        signal_measures.clipping_ratio,
        lambda x: signal_measures.effective_bandwidth_hz(x, RATE),
        lambda x: signal_measures.snr_estimate_db(x, np.zeros(0, bool), RATE),
    ):
        with pytest.raises(ValueError, match=r"\(N,\).*got \("):
            measure(x)
