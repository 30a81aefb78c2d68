"""Generated noises and rooms have the level, spectrum and shape that their names promise."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio import synthetic

RATE = 16000
N = 4 * RATE


def rng():
    return np.random.default_rng(3)


def speaker_in_a_room():
    """A loud white voice three quarters of the time, with a hum of 1 kHz below it."""
    time_s = np.arange(N) / RATE
    voice = rng().standard_normal(N) * (time_s % 1 < 0.75)
    return (voice + 0.01 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)


NOISES = {
    "white": lambda: synthetic.coloured_noise(rng(), N, slope=0),
    "hum": lambda: synthetic.mains_hum(rng(), N, sample_rate=RATE, mains_hz=50),
    "clicks": lambda: synthetic.clicks(rng(), N, sample_rate=RATE, per_s=5),
    "texture": lambda: synthetic.texture(rng(), N, sample_rate=RATE),
    "harmonic": lambda: synthetic.harmonic(rng(), N, sample_rate=RATE),
    "pauses": lambda: synthetic.pause_noise(rng(), N, speaker_in_a_room()),
    "wind": lambda: synthetic.wind(rng(), N, sample_rate=RATE),
    "babble": lambda: synthetic.babble([np.sin(np.arange(999) * f).astype(np.float32) for f in (0.1, 0.23)], N),
}


@pytest.mark.parametrize("name", NOISES)
def test_unit_level_right_length_and_the_same_again(name):
    noise = NOISES[name]()
    assert noise.dtype == np.float32 and len(noise) == N
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(noise, NOISES[name]())


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_by_its_slope(slope):
    power = np.abs(np.fft.rfft(synthetic.coloured_noise(rng(), 2**18, slope=slope))) ** 2
    octaves = [10 * np.log10(power[2**k : 2 ** (k + 1)].mean()) for k in range(10, 17)]
    assert np.diff(octaves).mean() == pytest.approx(-10 * np.log10(2) * slope, abs=0.1)


def test_hum_is_mains_and_its_harmonics():
    power = np.abs(np.fft.rfft(NOISES["hum"]())) ** 2
    harmonics = power[200 : 200 * 12 + 1 : 200].sum()  # 4 s: four bins a hertz
    assert harmonics / power.sum() == pytest.approx(1, abs=1e-6)


def test_noise_of_pauses_has_the_spectrum_of_the_room_and_not_of_the_voice():
    power = np.abs(np.fft.rfft(NOISES["pauses"]())) ** 2
    assert power[4 * 930 : 4 * 1070].sum() / power.sum() > 0.99  # the main lobe of a frame's window is 125 Hz wide
    silence = np.abs(np.fft.rfft(synthetic.pause_noise(rng(), N, np.zeros(N, np.float32)))) ** 2
    assert silence[: N // 4].mean() == pytest.approx(silence[N // 4 :].mean(), rel=0.05)


def test_a_room_starts_with_the_direct_sound_and_dies_away():
    response = synthetic.room_impulse_response(rng(), sample_rate=RATE, rt60_s=0.2)
    assert response[0] == 1 and np.abs(response).max() == 1
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    assert 10 * np.log10(energy[RATE // 10] / energy[0]) < -15  # at half of RT60; 30 dB if Sabine were exact


def test_a_longer_reverberation_lasts_longer():
    def centre(rt60_s):
        energy = synthetic.room_impulse_response(rng(), sample_rate=RATE, rt60_s=rt60_s) ** 2
        return (energy * np.arange(len(energy))).sum() / energy.sum()

    assert centre(0.6) > 1.5 * centre(0.2)


def test_an_equaliser_stays_within_its_gains_and_keeps_the_level():
    pulse = np.zeros(N, np.float32)
    pulse[N // 2] = 1
    response_db = 20 * np.log10(np.abs(np.fft.rfft(synthetic.equalise(rng(), pulse, gain_db=6.0))))
    assert 3 < np.ptp(response_db) <= 12.01
    noise = NOISES["white"]()
    assert np.std(synthetic.equalise(rng(), noise, gain_db=6.0)) == pytest.approx(np.std(noise), rel=1e-4)


def test_grains_keep_the_spectrum_and_the_level_of_a_noise_and_change_its_course():
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(32000) / 16000).astype(np.float32)
    made = synthetic.shuffle_grains(rng, tone, sample_rate=16000)
    assert made.shape == tone.shape and np.mean(made**2) == pytest.approx(0.5, rel=1e-3)
    power = np.abs(np.fft.rfft(made)) ** 2
    assert power[1900:2101].sum() > 0.98 * power.sum()  # bins of half a hertz around 1000
    assert not np.allclose(made, tone, atol=0.1)
    assert np.array_equal(synthetic.shuffle_grains(rng, tone[:100], sample_rate=16000), tone[:100])  # too short
