"""Encoded audio in memory, in formats of libsndfile and of FFmpeg, and headers that say what is not so."""

import io
import struct

import av
import numpy as np
import soundfile

from clean_corpus.pipeline.core.types import Audio

RATE = 16000


def encoded(x: Audio, rate: int = RATE, container: str = "WAV", subtype: str = "PCM_16", **options) -> bytes:
    """Return x (N,) or (N, C) as a file that libsndfile writes."""
    data = io.BytesIO()
    soundfile.write(data, x, rate, format=container, subtype=subtype, **options)
    return data.getvalue()


def mp3(x: Audio, rate: int = RATE, **options) -> bytes:
    """Return x as an MP3 file with a length tag."""
    return encoded(x, rate, "MP3", "MPEG_LAYER_III", **options)


def muxed(x: Audio, rate: int, container: str, codec: str, *, bit_rate: int | None = None, **options: str) -> bytes:
    """Return x, (N,) or (N, 2), as a file that FFmpeg writes, in a container and a codec by their names there."""
    data = io.BytesIO()
    with av.open(data, "w", format=container, options=options) as file:
        layout = "mono" if x.ndim == 1 else "stereo"
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if bit_rate:
            stream.bit_rate = bit_rate
        context = stream.codec_context
        planes = np.ascontiguousarray(np.atleast_2d(x.T), np.float32)
        whole = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        whole.sample_rate, whole.pts = rate, 0
        frames = av.AudioResampler(context.format, context.layout, rate, frame_size=context.frame_size or 1024)
        for frame in [*frames.resample(whole), *frames.resample(None), None]:
            file.mux(stream.encode(frame))
    return data.getvalue()


def with_size(data: bytes, mark: bytes, size: int, layout: str = "<I", *, gap: int = 0) -> bytes:
    """Return a file whose header announces another size, which stands `gap` bytes behind a mark."""
    at = data.index(mark) + len(mark) + gap
    return data[:at] + struct.pack(layout, size) + data[at + struct.calcsize(layout) :]


def with_flac_length(flac: bytes, n_samples: int) -> bytes:
    """Return a FLAC file whose header announces so many samples; 0: none, as in one written to a pipe."""
    rest = int.from_bytes(flac[18:26], "big") >> 36 << 36
    return flac[:18] + (rest | n_samples).to_bytes(8, "big") + flac[26:]
