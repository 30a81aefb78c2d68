import numpy as np
import pytest

from clean_corpus.pipeline.audio import synthetic
from clean_corpus.pipeline.audio.lossy import CODECS, takes, through

RATE = 48000


@pytest.mark.parametrize("rate", [16000, RATE])
@pytest.mark.parametrize("codec", CODECS)
def test_codec_leaves_length_level_and_time(codec, rate):
    rng = np.random.default_rng(0)
    x = synthetic.harmonic(rng, rate + 77, sample_rate=rate) * np.float32(3.0)  # pairs may exceed full scale
    y = through(codec, x, sample_rate=rate, strength=0.0)
    assert y.shape == x.shape and y.dtype == np.float32
    lag = np.argmax(np.fft.irfft(np.fft.rfft(y) * np.conj(np.fft.rfft(x))))
    assert lag == 0
    assert np.std(y) == pytest.approx(np.std(x), rel=0.05)
    assert np.mean((y - x) ** 2) < 0.05 * np.mean(x**2)


@pytest.mark.parametrize("codec", CODECS)
def test_harder_coding_loses_more(codec):
    x = synthetic.coloured_noise(np.random.default_rng(1), 2 * RATE, slope=1.0)

    def lost(strength: float) -> float:
        return float(np.mean((through(codec, x, sample_rate=RATE, strength=strength) - x) ** 2))

    assert 0 < lost(0.0) < lost(1.0)


def test_silence_stays_silent_and_what_no_codec_takes_is_refused():
    assert not through("mp3", np.zeros(100, np.float32), sample_rate=RATE, strength=0.5).any()
    assert not takes("opus", 44100) and takes("mp3", 44100) and not takes("vorbis", 96000)
    with pytest.raises(ValueError, match="opus at 44100 Hz"):
        through("opus", np.ones(100, np.float32), sample_rate=44100, strength=0.5)
    with pytest.raises(ValueError, match="strength 2"):
        through("mp3", np.ones(100, np.float32), sample_rate=RATE, strength=2)
