"""Training pairs: pair i is a function of the seed and i; the mixture has the SNR that was asked for."""

import numpy as np
import pytest

from clean_corpus.enhancers.training.mixing import MixConfig, Mixtures, random_cut
from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.enhancers.training.steps import StepConfig
from clean_corpus.pipeline.audio.synthetic import coloured_noise, mix_at_snr, room_tone
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError

RNG = np.random.default_rng(1)
SAMPLES = [(RNG.standard_normal(n) * 3000).astype(np.int16) for n in (20000, 70000, 40000)]
SPEECH = {"speech": [Recording(f"{i}-0", x) for i, x in enumerate(SAMPLES)]}
TRACKS = [coloured_noise(RNG, 80000, slope=1.0)]


def mixtures(seed=0, **settings):
    return Mixtures(SPEECH, TRACKS, MixConfig(seconds=1.0, rooms=3, **settings), seed=seed, length=50)


def test_a_pair_depends_on_seed_and_number_alone():
    first, second, other = mixtures(), mixtures(), mixtures(seed=1)
    for index in (7, 3):
        np.testing.assert_array_equal(first[index], second[index])
    assert not np.array_equal(first[7], first[3]) and not np.array_equal(first[7], other[7])


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_the_mixture_has_its_snr(snr_db):
    pairs = mixtures(snr_db=(snr_db, snr_db), clean_share=0.0, room_share=0.0)
    for index in range(10):
        noisy, clean = pairs[index]
        noise = noisy - clean
        assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.01)
        assert max(np.abs(noisy).max(), np.abs(clean).max()) <= 1


def test_clean_share_gives_clean_input():
    noisy, clean = mixtures(clean_share=1.0)[0]
    np.testing.assert_array_equal(noisy, clean)


@pytest.mark.parametrize(
    "settings",
    [{"clean_share": 1.0}, {"clean_share": 0.0}, {"room_share": 1.0, "equaliser_share": 1.0}],
)
def test_what_is_wanted_may_be_another_recording(settings):
    """Half of the speech: it takes every cut, speed, response and room of the speech, and noise goes by the speech."""
    halved = {"speech": [Recording(r.name, np.stack((r.samples & -2, r.samples >> 1))) for r in SPEECH["speech"]]}
    config = MixConfig(seconds=1.0, rooms=3, **settings)
    speech = {"speech": [Recording(r.name, r.samples & -2) for r in SPEECH["speech"]]}
    own, other = (Mixtures(x, TRACKS, config, seed=0, length=9) for x in (speech, halved))
    for index in range(9):
        (noisy, clean), (same, wanted) = own[index], other[index]
        np.testing.assert_allclose(same / np.abs(same).max(), noisy / np.abs(noisy).max(), atol=1e-4)
        ratio = np.abs(same).max() / np.abs(noisy).max()  # what clips is turned down, of both
        np.testing.assert_allclose(wanted, 0.5 * ratio * clean, atol=1e-4)


def test_a_folder_gets_its_share_of_the_speech_and_the_rest_goes_by_duration():
    def tone(name, value, n):
        return Recording(name, np.full(n, value, np.int16))

    speech = {"single": [tone("a", 1000, 90000)], "many": [tone("b", 2000, 20000), tone("c", 3000, 60000)]}
    flat = {"room_share": 0, "equaliser_share": 0, "speech_speed": (1, 1), "clean_share": 1, "seconds": 0.1}
    pairs = Mixtures(speech, TRACKS, MixConfig(speech_shares={"single": 0.1}, **flat), seed=0, length=1)
    np.testing.assert_allclose(pairs.weights, [0.1, 0.225, 0.675])
    with pytest.raises(ConfigError, match=r"no speech folder 'singel'.*did you mean 'single'"):
        Mixtures(speech, TRACKS, MixConfig(speech_shares={"singel": 0.1}), seed=0, length=1)


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.2])
def test_speed_moves_the_pitch(speed):
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(60000) / 16000)).astype(np.int16)
    settings = {"room_share": 0, "equaliser_share": 0, "clean_share": 1, "speech_speed": (speed, speed), "seconds": 1}
    clean = Mixtures({"s": [Recording("t", tone)]}, TRACKS, MixConfig(**settings), seed=0, length=1)[0][1]
    assert np.abs(np.fft.rfft(clean)).argmax() == pytest.approx(1000 * speed, abs=1) and len(clean) == 16000


def test_every_kind_of_generated_noise_comes_up():
    pairs = mixtures(recorded_share=0.0)
    for index in range(30):
        noisy, clean = pairs[index]
        assert np.isfinite(noisy).all() and noisy.dtype == np.float32 and len(noisy) == len(clean) == 16000


def test_generated_noise_is_of_the_kinds_that_are_named():
    pairs = mixtures(recorded_share=0.0, generated=("clicks",), second_noise_share=0.0, clean_share=0.0, room_share=0.0)
    for index in range(5):
        noisy, clean = pairs[index]
        assert np.mean(np.abs(noisy - clean) < 1e-6) > 0.3  # silence between clicks
    pairs = mixtures(recorded_share=0.0, generated=("pauses",), snr_set_db=(10.0,), clean_share=0.0, room_share=0.0)
    noisy, clean = pairs[0]
    assert 20 * np.log10(np.linalg.norm(clean) / np.linalg.norm(noisy - clean)) == pytest.approx(10, abs=0.1)
    with pytest.raises(ValueError, match="generated"):
        MixConfig(generated=())


def test_room_tone_lasts_and_is_mostly_low():
    tones = np.stack([room_tone(np.random.default_rng(seed), 64000, sample_rate=16000) for seed in range(9)])
    np.testing.assert_allclose(np.mean(tones**2, axis=1), 1, atol=1e-3)
    seconds = np.mean(tones.reshape(9, 4, 16000) ** 2, axis=2)
    assert (seconds.max(1) < 10 * seconds.min(1)).all()
    power = np.square(np.abs(np.fft.rfft(tones)))
    assert power[:, :4000].sum() > 0.7 * power.sum()  # below 1 of 8 kHz


def test_silent_noise_leaves_speech_alone():
    speech = np.ones(10, np.float32)
    np.testing.assert_array_equal(mix_at_snr(speech, np.zeros(10, np.float32), 0.0), speech)


def test_a_set_of_snrs_is_used_instead_of_the_range():
    pairs, seen = mixtures(snr_set_db=(-5.0, 0.0, 10.0), clean_share=0.0, room_share=0.0), set()
    for index in range(25):
        noisy, clean = pairs[index]
        snr_db = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
        seen.add(round(snr_db, 1) + 0.0)
    assert seen == {-5, 0, 10}


def test_without_a_level_the_speech_keeps_its_own_unless_that_clips():
    flat = {"room_share": 0, "equaliser_share": 0, "speech_speed": (1, 1), "level_db": None, "seconds": 0.1}
    speech = {"s": [Recording("quiet", np.full(9000, 300, np.int16))]}
    noise = [np.ones(9000, np.float32)]
    pairs = Mixtures(speech, noise, MixConfig(snr_db=(0, 0), clean_share=0, **flat), seed=0, length=1)
    np.testing.assert_allclose(pairs[0][1], 300 / 32768, rtol=1e-6)
    loud = Mixtures(speech, noise, MixConfig(snr_db=(-60, -60), clean_share=0, **flat), seed=0, length=1)
    assert max(np.abs(x).max() for x in loud[0]) == pytest.approx(0.99)


def test_old_settings_still_give_the_same_pairs():
    """Sums of pairs as they were since cuts begin anywhere; whoever changes them changes trainings that go on."""
    pairs = mixtures()
    sums = [float(np.abs(x).sum()) for index in (0, 11, 29) for x in pairs[index]]
    before = [2889.4526, 2706.3745, 1840.3094, 1823.2666, 1121.85, 1119.0342]
    assert sums == pytest.approx(before, rel=1e-4)  # libraries' FFTs differ in the last bits


def test_pairs_are_put_in_the_rooms_given():
    echo = np.zeros(1601, np.float32)
    echo[[0, 1600]] = 1, 0.5
    flat = {"equaliser_share": 0, "speech_speed": (1, 1), "level_db": None, "clean_share": 1, "seconds": 0.5}
    speech = {"s": [Recording("click", np.eye(1, 8000, 0, dtype=np.int16)[0] * 10000)]}
    pairs = Mixtures(speech, TRACKS, MixConfig(room_share=1, **flat), seed=0, length=1, rooms=[echo])
    clean = pairs[0][1]
    place = int(np.argmax(np.abs(clean)))
    assert clean[place + 1600] == pytest.approx(0.5 * clean[place], rel=1e-4)


def test_pairs_are_longer_from_a_number_on():
    config = MixConfig(seconds=1.0, long_seconds=1.5, rooms=1)
    pairs = Mixtures(SPEECH, TRACKS, config, seed=0, length=9, long_from=4)
    assert [len(pairs[i][0]) for i in (0, 3, 4, 8)] == [16000, 16000, 24000, 24000]


def test_recorded_noise_in_grains_backwards_and_in_three_layers_keeps_its_snr():
    shares = {"grains_share": 1.0, "reversed_share": 1.0, "second_noise_share": 1.0, "third_noise_share": 1.0}
    pairs = mixtures(snr_db=(5, 5), clean_share=0.0, room_share=0.0, recorded_share=1.0, **shares)
    other = mixtures(snr_db=(5, 5), clean_share=0.0, room_share=0.0, recorded_share=1.0)
    noisy, clean = pairs[0]
    assert 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2)) == pytest.approx(5, abs=0.01)
    np.testing.assert_array_equal(
        pairs[0], mixtures(snr_db=(5, 5), clean_share=0.0, room_share=0.0, recorded_share=1.0, **shares)[0]
    )
    assert not np.array_equal(pairs[0][0], other[0][0])


def test_recordings_that_are_noisy_themselves_are_drawn_less():
    rng = np.random.default_rng(0)
    burst = 3000 * np.sin(np.arange(32000)) * (np.arange(32000) // 4000 % 2)
    speech = [Recording(str(a), (burst + a * rng.standard_normal(32000)).astype(np.int16)) for a in (21, 210)]
    pairs = Mixtures({"speech": speech}, TRACKS, MixConfig(rooms=1, speech_snr_db=30.0), seed=0, length=1)
    assert pairs.weights[1] / pairs.weights[0] == pytest.approx(10**-0.5, rel=0.1)  # 20 dB instead of 30


@pytest.mark.parametrize("rate", [16000, 44100])  # Opus does not take the latter
def test_codecs_change_pairs_without_shifting_them(rate):
    settings = {"sample_rate": rate, "snr_db": (10, 10), "clean_share": 0.0, "room_share": 0.0}
    plain, coded = mixtures(**settings), mixtures(codec_share=1.0, **settings)
    for i in range(6):
        for before, after in zip(plain[i], coded[i], strict=True):
            alike = np.fft.irfft(np.fft.rfft(after) * np.conj(np.fft.rfft(before)), n=len(before))
            assert np.argmax(alike) == 0 and before.shape == after.shape
            assert alike[0] < 0.99999 * np.sqrt(np.vdot(before, before) * np.vdot(after, after))
    np.testing.assert_array_equal(coded[3], mixtures(codec_share=1.0, **settings)[3])


def test_cuts_begin_anywhere():
    """The last sample and each of a short recording, which comes round again, are as likely as others."""
    for n, length in ((4, 5), (5, 5), (10, 4)):
        x = np.arange(length, dtype=np.float32)
        cuts = [random_cut(np.random.default_rng(seed), x, n) for seed in range(100)]
        assert {int(cut[0]) for cut in cuts} == set(range(length - n + 1 if length >= n else length))
        assert all(np.array_equal(cut, (cut[0] + np.arange(n)) % length) for cut in cuts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"snr_db": [20, -5]}, r"mix.snr_db: expected the lower value of a range first, got \[20, -5\]"),
        ({"level_db": [-10, -20]}, "mix.level_db: expected the lower value"),
        ({"noise_speed": [0, 1]}, "mix.noise_speed.0: Input should be greater than 0"),
        ({"clean_share": 1.5}, "mix.clean_share: Input should be less than or equal to 1"),
        ({"speech_shares": {"a": -0.5}}, "mix.speech_shares.a: Input should be greater than or equal to 0"),
        ({"rooms": 0}, "mix: room_share is 0.3, but rooms is 0; raise rooms, or set room_share=0"),
        ({"lowpass_share": 0.2}, "mix: lowpass_hz begins at 9000 Hz, where mix.sample_rate 16000 ends at 8000 Hz"),
    ],
)
def test_settings_that_mean_nothing_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        validate(StepConfig, {"mix": settings})
    assert MixConfig(rooms=0, room_share=0) and MixConfig(rooms=0, rirs="halls") and MixConfig(snr_db=(5, 5))
