"""Encoding keeps every step, gives the same bytes each time, and refuses what no integer holds."""

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.audio.decode import decode
from clean_corpus.pipeline.audio.encode import encode_flac, write_wav


@pytest.mark.parametrize("bits", [16, 24])
def test_flac_keeps_every_step_and_the_same_bytes(bits):
    steps = np.random.default_rng(0).integers(-(1 << (bits - 1)), 1 << (bits - 1), 5000)
    steps[:2] = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    x = (steps / (1 << (bits - 1))).astype(np.float32)
    data = encode_flac(x, 16000, bits=bits)
    assert data == encode_flac(x.copy(), 16000, bits=bits)
    y, sample_rate = decode(data)
    assert sample_rate == 16000
    np.testing.assert_array_equal(x, y)


def test_plus_one_becomes_the_largest_step():
    y, _ = decode(encode_flac(np.ones(10, np.float32), 16000, bits=16))
    np.testing.assert_array_equal(y, np.full(10, 32767 / 32768, np.float32))


@pytest.mark.parametrize("x", [[1.0001], [np.nan], [-np.inf], [], [[[0.0]]]])
def test_what_no_integer_holds_is_not_encoded(x, tmp_path):
    with pytest.raises(ValueError, match=r"full scale is 1|expected"):
        encode_flac(np.array(x, np.float32), 16000, bits=16)
    with pytest.raises(ValueError, match=r"full scale is 1|expected"):
        write_wav(tmp_path / "x.wav", np.array(x, np.float32), 16000)
    assert not (tmp_path / "x.wav").exists()


def test_written_wav_is_read_back(tmp_path):
    x = np.random.default_rng(0).uniform(-0.9, 0.9, 1000).astype(np.float32)
    write_wav(tmp_path / "x.wav", x, 22050)
    y, rate = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert (rate, soundfile.info(tmp_path / "x.wav").subtype) == (22050, "PCM_16")
    np.testing.assert_allclose(y, x, atol=2**-16 * 1.001)
