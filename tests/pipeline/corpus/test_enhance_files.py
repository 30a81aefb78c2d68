"""Whole files enhanced: each in its own rate, depth and, where asked for, channels; failures by name."""

import io

import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers.serving.any_rate import at_rate
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.corpus.enhance_files import enhance_files, read_recording
from tests.support import signals


class Halving:
    """A network at 16 kHz that gives up on what is loud."""

    sample_rate = 16000

    def __call__(self, noisy, lengths):
        if noisy.abs().max() > 0.9:
            raise RuntimeError("too loud")
        return noisy / 2


def enhance(folder, **options) -> tuple[dict[str, tuple[np.ndarray, int, str]], dict[str, str]]:
    names = sorted(path.name for path in folder.iterdir())
    written = {}
    group = [Recording(name, name, 9, None) for name in names]
    failed = enhance_files(group, folder, written.__setitem__, lambda rate: at_rate(Halving(), rate), **options)
    found = {}
    for name, data in written.items():
        x, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        found[name] = x, rate, soundfile.info(io.BytesIO(data)).subtype
    return found, failed


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_a_file_keeps_its_rate_and_length_to_the_sample(tmp_path, rate):
    n = rate // 2 + 13
    x = signals.tone(440, 1, rate)[:n] + signals.tone(0.4 * rate, 1, rate)[:n]
    soundfile.write(tmp_path / "a.wav", x + 0.1, rate, subtype="FLOAT")
    found, failed = enhance(tmp_path)
    y, found_rate, subtype = found["a.wav"]
    assert (len(y), found_rate, subtype, failed) == (n, rate, "PCM_24", {})
    inner = slice(rate // 20, -rate // 20)  # an offset goes; the gain above is that of the band below, empty at most
    of_tone = np.exp(-2j * np.pi * 440 * np.arange(n)[inner] / rate)
    assert abs(np.dot(y[inner], of_tone)) == pytest.approx(abs(np.dot(x[inner], of_tone)) / 2, rel=0.01)


def test_depth_and_what_lies_below_speech_stay(tmp_path):
    soundfile.write(tmp_path / "deep.flac", signals.tone(10, 1, 16000), 16000, subtype="PCM_24")
    soundfile.write(tmp_path / "flat.wav", signals.tone(10, 1, 16000), 16000, subtype="PCM_16")
    steps = np.rint(signals.tone(440, 1, 16000) * 32768) / 32768
    soundfile.write(tmp_path / "16-in-24.wav", steps, 16000, subtype="PCM_24")
    found, _ = enhance(tmp_path)
    assert {name: subtype for name, (*_, subtype) in found.items()} == {
        "deep.flac": "PCM_24", "flat.wav": "PCM_16", "16-in-24.wav": "PCM_16",
    }  # fmt: skip
    np.testing.assert_allclose(found["deep.flac"][0], signals.tone(10, 1, 16000) / 2, atol=1e-6)


def test_channels_are_kept_when_asked_for_and_stay_apart(tmp_path):
    left, right = signals.tone(440, 1, 48000), signals.tone(1000, 1, 48000, level_db=-40)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 48000)
    ((mono, *_),) = enhance(tmp_path)[0].values()
    ((both, rate, _),) = enhance(tmp_path, keep_channels=True)[0].values()
    assert mono.shape == (48000,) and both.shape == (48000, 2) and rate == 48000
    inner = slice(2000, -2000)
    np.testing.assert_allclose(both[inner], np.stack([left, right], 1)[inner] / 2, atol=1e-4)
    ((at_24k, rate, _),) = enhance(tmp_path, keep_channels=True, sample_rate=24000)[0].values()
    assert at_24k.shape == (24000, 2) and rate == 24000


def test_a_file_at_fault_fails_alone_and_is_named(tmp_path):
    soundfile.write(tmp_path / "good.wav", signals.tone(440, 1, 24000), 24000)
    soundfile.write(tmp_path / "loud.wav", 9 * signals.tone(440, 1, 24000), 24000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    found, failed = enhance(tmp_path)
    assert found.keys() == {"good.wav"}
    assert failed == {"loud.wav": "enhance: too loud", "text.wav": "not audio: format not recognised"}
    with pytest.raises(DataError, match="empty file"):
        read_recording(tmp_path, Recording("b.wav", "b.wav", 0, None, error="empty file"))
