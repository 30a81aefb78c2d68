"""The demo corpus is what its table says, every time."""

import hashlib
import io
import itertools
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.demo import corpus as demo
from clean_corpus.pipeline.demo.corpus import Take, draw_takes, render, speak, write_corpus

TAKES = draw_takes(40 - demo.ODD_FILES, 0)
TEXT = "The library opens at nine."


@dataclass(frozen=True)
class Corpus:
    out: Path
    twins: Path
    cpu_s: float


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("demo")
    start = time.process_time()
    write_corpus(folder / "out", twins=folder / "twins")
    return Corpus(folder / "out", folder / "twins", time.process_time() - start)


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def first_channel(path: Path, sample_rate: int) -> NDArray[np.float32]:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(audio[:, 0], rate, sample_rate)


def level_db(audio: NDArray[np.floating]) -> float:
    return 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)))


# ---- the voice


def test_speech_is_the_same_whatever_was_said_before():
    first, sample_rate = speak(TEXT, voice="en-us+f5")
    speak("Guten Morgen.", voice="de+m2", rate_wpm=250, pitch=90)
    second, _ = speak(TEXT, voice="en-us+f5")
    assert sample_rate == 22050
    np.testing.assert_array_equal(first, second)


def test_speakers_sound_different():
    spoken = [demo.say(speaker, "Radio.", 16000) for speaker in demo.SPEAKERS.values()]
    for one, other in itertools.combinations(spoken, 2):
        assert len(one) != len(other) or np.abs(one - other).max() > 0.01


def pitch_hz(audio: NDArray[np.float32], sample_rate: int) -> float:
    """Highest peak of the autocorrelation between 60 and 500 Hz."""
    correlation = signal.correlate(audio, audio, method="fft")[len(audio) - 1 :]
    shortest, longest = sample_rate // 500, sample_rate // 60
    return sample_rate / (shortest + int(np.argmax(correlation[shortest:longest])))


def test_pitch_and_rate_are_followed():
    low, sample_rate = speak(TEXT, voice="en", pitch=20)
    high, _ = speak(TEXT, voice="en", pitch=80)
    fast, _ = speak(TEXT, voice="en", rate_wpm=340)
    slow, _ = speak(TEXT, voice="en", rate_wpm=170)
    assert pitch_hz(high, sample_rate) > 1.3 * pitch_hz(low, sample_rate)
    assert 0.35 < len(fast) / len(slow) < 0.65  # half as long, give or take what does not stretch


@pytest.mark.parametrize(
    ("voice", "text", "message"),
    [
        ("en-uss", TEXT, "voice 'en-uss': espeak-ng has no such language; did you mean 'en-us'"),
        ("en-us+f33", TEXT, "voice 'en-us\\+f33': espeak-ng has no variant 'f33'; did you mean 'f3'"),
        ("en", "", "voice 'en': nothing to say in ''"),
    ],
)
def test_what_cannot_be_spoken_is_named(voice, text, message):
    with pytest.raises(DataError, match=message):
        speak(text, voice=voice)
    speak(TEXT, voice="en")  # and the engine is not left half open


def test_missing_engine_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match=r"pip install clean-corpus\[demo\]"):
        speak(TEXT, voice="en")


# ---- one take


@pytest.mark.parametrize("noise", sorted({take.noise for take in TAKES if take.noise}))
def test_noise_has_the_ratio_of_the_table(noise):
    take = next(t for t in TAKES if t.noise == noise and not t.overdrive_db)
    noisy, clean = render(take, np.random.default_rng(0))
    measured_db = level_db(clean) - level_db(noisy[:, 0] - clean)
    assert measured_db == pytest.approx(take.snr_db, abs=0.5)


def test_take_without_noise_is_its_twin():
    take = next(t for t in TAKES if t.noise is None and not t.overdrive_db)
    noisy, clean = render(take, np.random.default_rng(0))
    np.testing.assert_array_equal(noisy[:, 0], clean)


def accident(**wanted: object) -> Take:
    return next(t for t in TAKES if all(getattr(t, name) == value for name, value in wanted.items()))


def test_accidents():
    stereo, _ = render(accident(channels=2), np.random.default_rng(0))
    np.testing.assert_allclose(stereo[:, 1], 0.7 * stereo[:, 0], rtol=1e-5)

    driven, twin = render(accident(overdrive_db=24.0), np.random.default_rng(0))
    assert np.mean(np.abs(driven) == 1) > 0.01
    assert np.abs(twin).max() < 1

    telephone = accident(telephone=True)
    narrow, _ = render(telephone, np.random.default_rng(0))
    freq_hz, power = signal.welch(narrow[:, 0], telephone.sample_rate, nperseg=1024)
    in_band, above = power[(freq_hz > 300) & (freq_hz < 3400)].mean(), power[freq_hz > 5000].mean()
    assert 10 * np.log10(above / in_band) < -30  # 6th order, half an octave above the edge: -36 dB at least

    quiet, _ = render(accident(level_db=-55.0), np.random.default_rng(0))
    assert level_db(quiet) == pytest.approx(-55, abs=1.5)  # speech alone; noise at 0 dB would add 3


def test_table_is_drawn_from_the_seed():
    assert draw_takes(12, 0) == draw_takes(12, 0)
    assert draw_takes(12, 0) != draw_takes(12, 1)
    assert {take.noise for take in TAKES} == set(demo.NOISES)
    assert {take.rt60_s for take in TAKES} == set(demo.RT60S_S)


# ---- the folder


def test_smallest_corpus_is_the_same_in_another_process(tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        "from clean_corpus.pipeline.demo.corpus import FEWEST_CLIPS, write_corpus;"
        "write_corpus(Path(sys.argv[1]), clips=FEWEST_CLIPS, seed=1, twins=Path(sys.argv[1], 'twins'))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], check=True)
    write_corpus(tmp_path / "here", clips=demo.FEWEST_CLIPS, seed=1, twins=tmp_path / "here" / "twins")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "there")
    recordings = [name for name in hashes(tmp_path / "here") if Path(name).suffix in demo.ENCODINGS]
    twins = [name for name in recordings if name.startswith("twins/")]
    assert len(recordings) - len(twins) == demo.FEWEST_CLIPS
    assert len(twins) == demo.FEWEST_CLIPS - demo.ODD_FILES + 1  # the long reading has one too


def test_corpus_is_made_in_seconds(corpus):
    assert corpus.cpu_s < 15


def test_there_are_forty_recordings_and_a_sidecar_for_each_take(corpus):
    recordings = [path for path in corpus.out.rglob("*.*") if path.suffix in demo.ENCODINGS]
    assert len(recordings) == 40
    assert len(list(corpus.out.rglob("*.json"))) == len(TAKES) + 1  # and the long reading


@pytest.mark.parametrize("take", TAKES, ids=lambda take: take.path)
def test_file_of_a_take(corpus, take):
    info = soundfile.info(corpus.out / take.path)
    container, subtype = demo.ENCODINGS[Path(take.name).suffix]
    assert (info.format, info.subtype, info.channels, info.samplerate) == (
        container,
        subtype,
        take.channels,
        take.sample_rate,
    )
    twin = soundfile.info((corpus.twins / take.path).with_suffix(".wav"))
    assert twin.samplerate == 16000
    assert twin.duration == pytest.approx(info.duration, abs=1 / 16000)


@pytest.mark.parametrize("suffix", sorted(demo.ENCODINGS))
def test_twin_is_aligned_through_every_codec(corpus, suffix):
    take = max((t for t in TAKES if t.name.endswith(suffix)), key=lambda t: t.snr_db)
    recording = first_channel(corpus.out / take.path, 16000)
    twin = first_channel((corpus.twins / take.path).with_suffix(".wav"), 16000)
    lag = int(np.argmax(signal.correlate(recording, twin, method="fft"))) - (len(twin) - 1)
    assert lag == 0


def test_written_ratio_is_that_of_the_table(corpus):
    take = next(t for t in TAKES[5:] if t.noise and t.sample_rate == 16000)  # no resampling between file and twin
    recording = first_channel(corpus.out / take.path, 16000)
    twin = first_channel((corpus.twins / take.path).with_suffix(".wav"), 16000)
    assert level_db(twin) - level_db(recording - twin) == pytest.approx(take.snr_db, abs=0.5)


def test_two_exact_and_one_near_duplicate(corpus):
    recordings = {name: h for name, h in hashes(corpus.out).items() if Path(name).suffix in demo.ENCODINGS}
    assert len(recordings) - len(set(recordings.values())) == 2

    copy = first_channel(corpus.out / "unsorted" / "sent by mail.mp3", 16000)
    likeness = []
    for path in corpus.out.glob("*/*.wav"):
        if path.parent.name != "unsorted":
            audio = first_channel(path, 16000)
            if len(audio) == len(copy):
                likeness.append(np.corrcoef(audio, copy)[0, 1])
    assert max(likeness) > 0.99


def test_odd_files(corpus):
    odd = corpus.out / "unsorted"
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(odd / "interrupted-upload.flac")
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(odd / "shopping-list.wav")
    assert not soundfile.read(odd / "muted.wav")[0].any()
    assert level_db(soundfile.read(odd / "empty-room.wav")[0]) == pytest.approx(-26, abs=0.1)
    assert 38 < soundfile.info(corpus.out / "george" / "george-reading.flac").duration < 60


def test_metadata_names_every_take_once(corpus):
    for speaker in {take.speaker for take in TAKES}:
        rows = (corpus.out / speaker / "metadata.csv").read_text("utf-8").splitlines()
        texts = dict(row.split("|") for row in rows)
        sidecars = {path.stem: json.loads(path.read_text("utf-8")) for path in (corpus.out / speaker).glob("*.json")}
        assert sidecars.keys() == texts.keys()
        assert len(texts) == len(rows)
        for take in TAKES:
            if take.speaker == speaker:
                assert texts[Path(take.name).stem] == take.sentences[0]
        assert all(says["speaker"] == speaker and says["licence"] == "generated" for says in sidecars.values())
        assert all(says.get("consent") == demo.SPEAKERS[speaker].consent for says in sidecars.values())


def test_too_few_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"demo: 19 clips .* 20 or more"):
        write_corpus(tmp_path / "out", clips=19)
    assert not (tmp_path / "out").exists()


def test_ogg_serial_is_fixed_without_damage():
    audio = np.random.default_rng(0).uniform(-0.1, 0.1, 48000).astype(np.float32)

    def encode() -> bytes:
        data = io.BytesIO()
        soundfile.write(data, audio, 48000, format="OGG", subtype="VORBIS")
        return data.getvalue()

    one, other = encode(), encode()
    assert one != other
    fixed = demo._with_ogg_serial(one, 1)
    assert fixed == demo._with_ogg_serial(other, 1)
    # the decoder drops pages whose checksum is wrong
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(fixed))[0], soundfile.read(io.BytesIO(one))[0])
