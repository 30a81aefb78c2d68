"""Copies are found however they were stored; the same words spoken again are not."""

import io
from collections import Counter, defaultdict
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import soxr

from clean_corpus.pipeline.audio.synthetic import coloured_noise, mix_at_snr
from clean_corpus.pipeline.core.config import DedupConfig
from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.core.types import Audio, Clip
from clean_corpus.pipeline.demo.speakers import speak
from clean_corpus.pipeline.quality import alignment, duplicates, shared_codes
from clean_corpus.pipeline.quality.duplicates import find_copies, to_compare
from clean_corpus.pipeline.quality.fingerprint import fingerprint, pcm_sha256, to_text
from tests.support.paths import DATA

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


class Duplicate(NamedTuple):
    """The first clip of a group that another one is in, and how it is alike."""

    of: str
    kind: str
    bit_error: float


def find_duplicates(rows, config: DedupConfig) -> dict[str, Duplicate]:
    """Copies by name, without the first of each group."""
    rows = list(rows)
    digest_of = {clip_id: digest for clip_id, digest, _ in rows}
    found = {}
    for group in find_copies(iter(rows), config):
        (first, _), *others = group.bit_error.items()
        seen = {digest_of[first]}
        for clip_id, bit_error in others:
            equal = digest_of[clip_id] in seen
            found[clip_id] = Duplicate(first, "duplicate" if equal else "near_duplicate", 0.0 if equal else bit_error)
            seen.add(digest_of[clip_id])
    return found


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


def test_copies_lie_on_one_clock_whatever_the_order():
    """Cut at either end, with silence before it, and with equal samples; each is compared with all others."""
    codes = np.random.default_rng(0).integers(1, 2**32, 400, np.uint32)
    clips = {"all": codes, "end": codes[50:], "begin": codes[:350], "late": np.pad(codes, (30, 9)), "again": codes[50:]}
    expected = {"all": (0, 400), "end": (50, 400), "begin": (0, 350), "late": (0, 400), "again": (50, 400)}
    for order in permutations((name, name.replace("again", "end"), x) for name, x in clips.items()):
        (group,) = find_copies(order, DedupConfig())
        zero_s = group.sounds["all"][0]
        assert group.sounds.keys() == clips.keys() and list(group.sounds) == list(group.bit_error)
        for name, frames in expected.items():
            found = [round((at_s - zero_s) / 0.012) for at_s in group.sounds[name]]
            assert found == list(frames), name


def test_the_pairs_that_are_most_alike_tell_how_copies_lie():
    """One frame aside they are alike too, as frames of sound overlap, but less."""
    codes = np.random.default_rng(0).integers(1, 2**32, 200, np.uint32).repeat(2)
    shifted = np.pad(codes, (7, 0), constant_values=1)
    (group,) = find_copies([("a", "1", codes), ("b", "2", shifted)], DedupConfig())
    assert group.bit_error == {"a": 0.0, "b": 0.0}
    assert group.sounds["b"] == pytest.approx((-7 * 0.012, 400 * 0.012))


def test_a_word_that_is_another_one_is_told_whatever_the_order(originals):
    """Its copies have its words, and the others those of the recording; by the whole all are alike."""
    x, y = originals[0], originals[1]
    other = x.copy()
    other[RATE : RATE + RATE // 2] = y[RATE : RATE + RATE // 2]
    said = {"x": x, "x mp3": COPIES["mp3"](x), "x soft": x / 4, "x noise": _with_noise(x)}
    said |= {"y": other, "y cut": other[RATE // 10 :], "y again": other}
    for order in (said, reversed(said)):
        (group,) = find_copies([_row(name, said[name]) for name in order], DedupConfig())
        of_x, of_y = ({group.wording[name] for name in said if name.startswith(first)} for first in "xy")
        assert len(of_x) == len(of_y) == 1 and of_x != of_y


def test_many_copies_of_one_clip_are_all_found():
    """More copies than a code is followed through: the chain still holds them together."""
    codes = np.random.default_rng(0).integers(1, 2**32, 100, np.uint32)
    found = find_duplicates([(str(i), str(i), codes) for i in range(100)], DedupConfig())
    assert found == {str(i): Duplicate("0", "near_duplicate", 0.0) for i in range(1, 100)}


def _mixed(rng: np.random.Generator) -> list[tuple[str, str, np.ndarray]]:
    """Clips of 0 to 400 frames that share little or much: pauses, runs, common codes, shifted and spoilt copies."""
    clips: list[np.ndarray] = [np.zeros(0, np.uint32)]
    for n_codes in rng.permutation([5, 40, 300, 2**32 - 1] * 15):
        codes = rng.integers(1, n_codes, rng.integers(0, 200), np.uint32, endpoint=True).repeat(rng.integers(1, 4))
        if len(codes) and rng.random() < 0.6:
            codes = clips[rng.integers(len(clips))].copy()
            codes = np.pad(codes[rng.integers(0, 40) :], (rng.integers(0, 40), 0), constant_values=rng.integers(2))
            wrong = rng.random(len(codes)) < rng.random()
            codes[wrong] ^= rng.integers(0, 2**32, wrong.sum(), np.uint32)
        codes[rng.integers(0, 200) :][: rng.integers(0, 60)] = 0
        clips.append(codes)
    return [(f"clip {i}", str(rng.integers(500)), codes) for i, codes in enumerate([*clips, clips[0]])]


def _found_one_by_one(rows, max_bit_error: float) -> dict[str, Duplicate]:
    """What find_duplicates gives, pair by pair and frame by frame."""
    first_of = {}
    for clip_id, digest, _ in rows:
        first_of.setdefault(digest, clip_id)
    distinct = [(clip_id, codes.tolist()) for clip_id, digest, codes in rows if first_of[digest] == clip_id]
    places, last = defaultdict(list), 0
    for i, (_, codes) in enumerate(distinct):
        for t, code in enumerate(codes):
            if code not in (0, last):
                places[code].append((i, t))
            last = code
    votes = defaultdict(Counter)
    for same in places.values():
        for n, (i, t) in enumerate(same):
            for j, u in same[n + 1 : n + 1 + shared_codes.MAX_NEXT]:
                if i != j:
                    votes[i, j][u - t] += 1
    pairs = []
    for (i, j), of_pair in votes.items():
        overlaps = {}
        for offset in of_pair:
            a, b = distinct[i][1], distinct[j][1]
            overlap = [(a[t], b[t + offset]) for t in range(len(a)) if 0 <= t + offset < len(b)]
            if all(
                sum(both[k] > 0 for both in overlap) >= alignment.MIN_OVERLAP * sum(code > 0 for code in codes)
                for k, codes in enumerate((a, b))
            ):
                overlaps[offset] = [x ^ y for x, y in overlap if x and y]
        for offset in sorted(overlaps, key=lambda offset: (-of_pair[offset], offset))[: alignment.MAX_OFFSETS]:
            wrong = overlaps[offset]
            error = sum(x.bit_count() for x in wrong) / (32 * len(wrong)) if len(wrong) >= alignment.MIN_FRAMES else 1.0
            if error <= max_bit_error:
                pairs.append((error, i, j))
    group_of = list(range(len(distinct)))
    nearest = {}
    for error, i, j in pairs:
        old, new = sorted((group_of[i], group_of[j]), reverse=True)
        group_of = [new if group == old else group for group in group_of]
        for k in (i, j):
            nearest[k] = min(nearest.get(k, error), error)
    found = {}
    for k, error in nearest.items():
        if group_of[k] != k:
            found[distinct[k][0]] = Duplicate(distinct[group_of[k]][0], "near_duplicate", error)
    for clip_id, digest, _ in rows:
        first = first_of[digest]
        if first != clip_id:
            found[clip_id] = Duplicate(found[first].of if first in found else first, "duplicate", 0.0)
    return found


@pytest.mark.parametrize("max_bit_error", [0.25, 0.45])
@pytest.mark.parametrize("seed", range(2))
def test_same_as_pair_by_pair_whatever_is_in_memory_at_once(monkeypatch, seed, max_bit_error):
    rows = _mixed(np.random.default_rng(seed))
    n_frames = sum(len(codes) for _, _, codes in rows)
    config = DedupConfig(max_bit_error=max_bit_error)
    expected = _found_one_by_one(rows, max_bit_error)
    assert Counter(d.kind for d in expected.values()).keys() == {"duplicate", "near_duplicate"}
    assert find_duplicates(iter(rows), config) == expected
    for n_parts in (10, 100):
        sizes = ((shared_codes, "PART", 1.0), (shared_codes, "CHUNK", 0.1), (duplicates, "BLOCK", 1.0))
        for module, size, of_part in (*sizes, (alignment, "BATCH", 1.0)):
            monkeypatch.setattr(module, size, int(of_part * n_frames / n_parts))
        monkeypatch.setattr(duplicates, "PAIRS", n_parts)
        assert find_duplicates(iter(rows), config) == expected


def test_all_of_a_long_overlap_is_compared():
    """An hour, of which the end is another: its sums are beyond 16 bits."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 2**32, 300_000, np.uint32)
    spoilt = codes.copy()
    spoilt[150_000:] ^= np.uint32(0xFFFF)  # half of the bits in half of the frames
    rows = [("a", "1", codes), ("b", "2", spoilt)]
    assert find_duplicates(rows, DedupConfig()) == {"b": Duplicate("a", "near_duplicate", 0.25)}
    spoilt[0] ^= np.uint32(1)
    assert find_duplicates(rows, DedupConfig()) == {}


def test_clips_that_are_rejected_already_are_not_compared(originals):
    def clip(clip_id, x, reject=None):
        return Clip(clip_id, f"{clip_id}.wav", None, pcm_sha256=pcm_sha256(x), reject=reject)

    def shard(*clips):
        texts = [to_text(fingerprint(x, sample_rate=RATE)) for _, x in clips]
        return RawShard(Shard("work/raw/g-000.tar", "0" * 64, 9, len(clips)), [clip for clip, _ in clips], texts)

    x, other = originals[:2]
    silent = ("no_speech", "none")
    first = shard((clip("a", x, reject=silent), x), (clip("b", x), x))
    second = shard((clip("c", other), other), (clip("d", x), x), (clip("e", x / 4), x / 4))
    rows = list(to_compare(iter([first, second])))
    assert [(clip_id, digest) for clip_id, digest, _ in rows] == [
        (clip_id, pcm_sha256(y)) for clip_id, y in (("b", x), ("c", other), ("d", x), ("e", x / 4))
    ]
    assert all(np.array_equal(codes, fingerprint(x, sample_rate=RATE)) for codes in (rows[0][2], rows[2][2]))
    (group,) = find_copies(rows, DedupConfig())
    assert list(group.bit_error) == ["b", "e", "d"] and group.bit_error["d"] == group.bit_error["b"] < 0.1


def test_groups_do_not_depend_on_the_order():
    """A clip between two others that are not alike is a copy of both, and all three are one recording."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 2**32, 400, np.uint32)
    ends = [codes.copy(), codes.copy()]
    ends[0][:100] ^= np.uint32(0x0FFF)  # 12 of 32 bits in a quarter of the frames, another quarter in the other
    ends[1][100:200] ^= np.uint32(0x0FFF)
    rows = [("a", "1", ends[0]), ("b", "2", ends[1]), ("c", "3", codes)]
    groups = []
    for order in permutations(rows):
        (group,) = find_copies(order, DedupConfig(max_bit_error=0.1))
        groups.append(group.bit_error)
    assert all(group == {"a": 3 / 32, "b": 3 / 32, "c": 3 / 32} for group in groups)
    assert find_copies(rows[:2], DedupConfig(max_bit_error=0.1)) == [], "these two alone are 6 / 32 apart"


@pytest.mark.skipif(not (DATA / "crowd").is_dir(), reason=f"no real recordings in {DATA}/crowd")
def test_real_takes_of_one_word():
    """360 real clips of seven wake words, several by the same people: one file is there twice, nothing else is."""
    rows = []
    for path in sorted((DATA / "crowd").rglob("*.wav")):
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        rows.append(_row(path.name, soxr.resample(x.mean(axis=1), rate, RATE)))
    assert len(rows) == 360
    assert [(d.kind, d.bit_error) for d in find_duplicates(rows, DedupConfig()).values()] == [("duplicate", 0.0)]
