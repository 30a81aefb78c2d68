"""Copies are found however they were stored; the same words spoken again are not."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from conftest import DATA

from pipeline.config import DedupConfig
from pipeline.dedup import Duplicate, find_duplicates, fingerprint, pcm_sha256
from pipeline.demo import speak
from pipeline.synthetic import Audio, coloured_noise, mix_at_snr

RATE = 16000
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "She had your dark suit in greasy wash water all year.",
    "A large size in stockings is hard to sell.",
)


def _speak(text: str, *, pitch: int = 50, rate_wpm: int = 175, voice: str = "en-us") -> Audio:
    spoken, spoken_hz = speak(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch)
    return soxr.resample(spoken, spoken_hz, RATE)


@pytest.fixture(scope="module")
def originals() -> list[Audio]:
    """Sentences in a quiet room: 40 dB of noise, as every recording has some."""
    rng = np.random.default_rng(0)
    spoken = [_speak(text) for text in SENTENCES]
    return [mix_at_snr(x, coloured_noise(rng, len(x), slope=1), 40.0) for x in spoken]


def _row(clip_id: str, x: Audio):
    return clip_id, pcm_sha256(x), fingerprint(x, sample_rate=RATE)


def _stored(x: Audio, container: str, codec: str) -> Audio:
    file = io.BytesIO()
    soundfile.write(file, x, RATE, format=container, subtype=codec)
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return decoded if rate == RATE else soxr.resample(decoded, rate, RATE)


def _with_noise(x: Audio) -> Audio:
    return mix_at_snr(x, coloured_noise(np.random.default_rng(1), len(x), slope=0), 30.0)


COPIES = {
    "mp3": lambda x: _stored(x, "MP3", "MPEG_LAYER_III"),
    "vorbis": lambda x: _stored(x, "OGG", "VORBIS"),
    "opus": lambda x: _stored(x, "OGG", "OPUS"),
    "12 dB softer": lambda x: x * np.float32(10 ** (-12 / 20)),
    "by telephone": lambda x: soxr.resample(soxr.resample(x, RATE, 8000), 8000, RATE),
    "100 ms cut off": lambda x: x[RATE // 10 :],
    "silence added": lambda x: np.pad(x, (RATE // 10, RATE // 4)),
    "noise at 30 dB": _with_noise,
}


@pytest.mark.parametrize("how", COPIES)
def test_copy_is_found(originals, how):
    rows = [_row(str(i), x) for i, x in enumerate(originals)]
    rows += [_row(f"copy {i}", COPIES[how](x)) for i, x in enumerate(originals)]
    found = find_duplicates(rows, DedupConfig())
    assert {k: (v.of, v.kind) for k, v in found.items()} == {f"copy {i}": (str(i), "near_duplicate") for i in range(3)}
    assert max(d.bit_error for d in found.values()) < 0.2


def test_wav_and_flac_of_one_recording_are_equal(originals):
    x = np.rint(originals[0] * 32768).astype(np.int16)
    wav, flac = _stored(x, "WAV", "PCM_16"), _stored(x, "FLAC", "PCM_16")
    found = find_duplicates([_row("a", wav), _row("b", flac)], DedupConfig(near=False))
    assert found == {"b": Duplicate("a", "duplicate", 0.0)}


def test_digest_rounds_and_clips_to_16_bits():
    x = np.float32([0.5, -1.0, 1.0, 1.5])
    assert pcm_sha256(x) == pcm_sha256(x + np.float32(0.4 / 32768)) == pcm_sha256(np.float32([0.5, -2.0, 2.0, 1.0]))
    assert pcm_sha256(x) != pcm_sha256(x - np.float32(0.6 / 32768))


def test_same_words_again_are_no_duplicate(originals):
    # a machine that reads at the same pitch and almost the same rate makes all but a copy: these are further off
    takes = [_speak(SENTENCES[0], pitch=pitch) for pitch in (35, 45, 60)]
    takes += [_speak(SENTENCES[0], rate_wpm=rate) for rate in (150, 210)]
    takes += [_speak(SENTENCES[0], voice="en-gb-scotland"), originals[0]]
    assert find_duplicates([_row(str(i), x) for i, x in enumerate(takes)], DedupConfig()) == {}


def test_excerpt_is_no_duplicate(originals):
    whole = np.concatenate(originals)
    rows = [_row("whole", whole), *(_row(f"part {i}", x) for i, x in enumerate(originals))]
    assert find_duplicates(rows, DedupConfig()) == {}
    assert find_duplicates(rows[::-1], DedupConfig()) == {}


def test_silence_matches_nothing():
    rng = np.random.default_rng(0)
    silent = [np.zeros(RATE, np.float32), np.zeros(2 * RATE, np.float32), np.float32([0.1]), np.zeros(0, np.float32)]
    silent += [np.float32(rng.integers(-1, 2, 2 * RATE) / 32768) for _ in range(2)]  # dither
    rows = [_row(str(i), x) for i, x in enumerate(silent)]
    assert all(not codes.any() for _, _, codes in rows)
    assert find_duplicates(rows, DedupConfig()) == {}
    assert find_duplicates([], DedupConfig()) == {}


def test_silence_around_two_clips_does_not_make_them_alike(originals):
    rows = [_row(str(i), np.pad(x, 5 * RATE)) for i, x in enumerate(originals)]
    assert find_duplicates(rows, DedupConfig()) == {}


def test_group_has_one_original_which_comes_first(originals):
    x, other = originals[:2]
    mp3 = COPIES["mp3"](x)
    rows = [_row("a", mp3), _row("b", x), _row("c", other), _row("d", x), _row("e", COPIES["opus"](mp3))]
    found = find_duplicates(rows, DedupConfig())
    assert {k: (v.of, v.kind) for k, v in found.items()} == {
        "b": ("a", "near_duplicate"),
        "d": ("a", "duplicate"),
        "e": ("a", "near_duplicate"),
    }
    assert find_duplicates(rows, DedupConfig()) == found
    assert find_duplicates(rows, DedupConfig(near=False)) == {"d": Duplicate("b", "duplicate", 0.0)}


def test_bit_error_is_that_of_the_flipped_bits():
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 2**32, 400, np.uint32)
    flipped = codes.copy()
    flipped[::2] ^= np.uint32(0b1111 << 16)  # 4 of 32 bits in half of the frames: 1 / 16
    rows = [("a", "1", codes), ("b", "2", flipped), ("c", "3", rng.integers(1, 2**32, 400, np.uint32))]
    assert find_duplicates(rows, DedupConfig()) == {"b": Duplicate("a", "near_duplicate", 1 / 16)}
    assert find_duplicates(rows, DedupConfig(max_bit_error=0.06)) == {}


def test_many_copies_of_one_clip_are_all_found():
    """More copies than a code is followed through: the chain still holds them together."""
    codes = np.random.default_rng(0).integers(1, 2**32, 100, np.uint32)
    found = find_duplicates([(str(i), str(i), codes) for i in range(100)], DedupConfig())
    assert found == {str(i): Duplicate("0", "near_duplicate", 0.0) for i in range(1, 100)}


@pytest.mark.skipif(not (DATA / "crowd").is_dir(), reason=f"no real recordings in {DATA}/crowd")
def test_real_takes_of_one_word():
    """360 real clips of seven wake words, several by the same people: one file is there twice, nothing else is."""
    rows = []
    for path in sorted((DATA / "crowd").rglob("*.wav")):
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        rows.append(_row(path.name, soxr.resample(x.mean(axis=1), rate, RATE)))
    assert len(rows) == 360
    assert [(d.kind, d.bit_error) for d in find_duplicates(rows, DedupConfig()).values()] == [("duplicate", 0.0)]
