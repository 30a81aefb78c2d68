"""Lossy codecs, through which much of what people collect has gone: what they leave of a signal, without delay."""

import io
from typing import Literal, get_args

import numpy as np
import soundfile

from clean_corpus.pipeline.core.types import Audio

Codec = Literal["opus", "vorbis", "mp3"]
CODECS: tuple[Codec, ...] = get_args(Codec)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_FORMATS: dict[Codec, dict[str, str]] = {
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "vorbis": {"format": "OGG", "subtype": "VORBIS"},
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE"},
}
_LEAST, _MOST = {"opus": 0.65, "vorbis": 0.2, "mp3": 0.2}, {"opus": 0.96, "vorbis": 1.0, "mp3": 0.95}
_HEADROOM = 0.9  # coding raises peaks


def through(codec: Codec, x: Audio, *, sample_rate: int, strength: float) -> Audio:
    """Return what a codec at a variable bit rate leaves of a signal; level, length and place in time stay.

    Strength 0 is mild and 1 is hard: speech at 48 kHz takes 95 to 17 kbit/s as Opus, 150 to 52 as Vorbis, 112 to 39
    as MP3. Vorbis and Opus files state their length, MP3 files with a variable rate their delay, so decoding aligns.
    Shapes: (N,) -> (N,).
    Raises: ValueError if the codec does not take the rate (`takes`) or the strength is not between 0 and 1.
    """
    if not takes(codec, sample_rate) or not 0 <= strength <= 1:
        raise ValueError(f"{codec} at {sample_rate} Hz with strength {strength}: not possible")
    peak = float(np.abs(x).max(initial=0))
    if not peak:
        return x.copy()
    level = _LEAST[codec] + strength * (_MOST[codec] - _LEAST[codec])
    data, scale = io.BytesIO(), _HEADROOM / peak
    soundfile.write(data, x * scale, sample_rate, compression_level=level, **_FORMATS[codec])
    data.seek(0)
    decoded = soundfile.read(data, dtype="float32")[0][: len(x)]
    return np.pad(decoded, (0, len(x) - len(decoded))) / np.float32(scale)


def takes(codec: Codec, sample_rate: int) -> bool:
    """Return whether a codec takes signals of a rate as they are."""
    return sample_rate in _OPUS_RATES if codec == "opus" else 8000 <= sample_rate <= 48000
