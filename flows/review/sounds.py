"""What is heard and seen of a clip: its two versions, their levels, marks of speech, spectrogram, waveform."""

import io
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from clean_corpus.flows.review.tars import Tars
from clean_corpus.pipeline.audio import decode, loudness, voice_activity
from clean_corpus.pipeline.audio.encode import encode_wav
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio, Verdict, Version

VERSIONS: tuple[Version, ...] = ("raw", "enhanced")
LEVEL_LUFS = -23.0  # at which versions are compared, unless a peak stands in the way of one
PEAK_DB = -1.0
RANGE_DB = 80
COLUMNS = 1200  # of a spectrogram, at most
SHORTEST_S = 0.005  # from one column of a spectrogram to the next
REMEMBERED = 256  # clips whose marks and levels stay in memory

Made = TypeVar("Made")


@dataclass(frozen=True)
class Sound:
    """Samples of one version of a clip, (N,), full scale +-1, and their rate in Hz."""

    x: Audio
    sample_rate: int

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return len(self.x) / self.sample_rate

    def wav(self) -> bytes:
        """Return the sound as a 16-bit WAV file, the one lossless format that every browser seeks in."""
        return encode_wav(loudness.within_full_scale(self.x), self.sample_rate)


class Sounds:
    """The sounds of the clips of one version of a corpus."""

    def __init__(self, tars: Tars, config: PipelineConfig) -> None:
        self._tars, self._config = tars, config
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, row: Mapping[str, Any], version: Version) -> Sound | None:
        """Return a version of a clip, from what its run left, or as it was published; None if neither is there.

        Raises: DataError if its coding is damaged; StorageError if the storage fails.
        """
        for key in (row[f"{version}_shard"], row["shard"] if _lying(row) == version else None):
            if key and (data := self._tars.clip(key, row["clip_id"])) is not None:
                return Sound(*decode.decode(data))
        return None

    def levels(self, row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return of each version whether it is there, and the gain at which all of them are equally loud, dB."""
        return self._once("levels", row["clip_id"], lambda: self._levels(row))

    def _levels(self, row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        found = {version: self.of(row, version) for version in VERSIONS}
        loud = {v: loudness.loudness_lufs(s.x, s.sample_rate) for v, s in found.items() if s is not None}
        peaks = {v: 20 * np.log10(max(float(np.abs(s.x).max()), 1e-6)) for v, s in found.items() if s is not None}
        measured = {version: value for version, value in loud.items() if value is not None}
        level = min([LEVEL_LUFS, *(value + PEAK_DB - peaks[version] for version, value in measured.items())])
        return {
            version: {
                "available": found[version] is not None,
                "gain_db": round(float(level - measured[version]), 3) if version in measured else 0.0,
            }
            for version in VERSIONS
        }

    def speech(self, row: Mapping[str, Any]) -> list[tuple[float, float]]:
        """Return where speech begins and ends in the raw version, seconds."""
        return self._once("speech", row["clip_id"], lambda: self._speech(row))

    def _speech(self, row: Mapping[str, Any]) -> list[tuple[float, float]]:
        sound = self.of(row, "raw") or self.of(row, "enhanced")
        if sound is None:
            return []
        x = resample(sound.x, sound.sample_rate, voice_activity.VAD_RATE)
        mask = voice_activity.speech_mask(x, self._config.segment.speech_threshold, sample_rate=voice_activity.VAD_RATE)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
        ends = np.minimum(edges * voice_activity.WINDOW_S, sound.duration_s).round(3).tolist()
        return list(zip(ends[::2], ends[1::2], strict=True))

    def spectrogram(self, row: Mapping[str, Any], version: Version) -> bytes | None:
        """Return a picture of a version, PNG; both versions of a clip share one scale, from the louder one's peak."""
        found = {name: self.of(row, name) for name in VERSIONS}
        if found[version] is None:
            return None
        gains = self.levels(row)
        powers = {name: _power_db(one) + gains[name]["gain_db"] for name, one in found.items() if one is not None}
        loudest = max(float(power.max()) for power in powers.values())
        return _png(powers[version] - loudest)

    def peaks(self, row: Mapping[str, Any], version: Version, width: int) -> dict[str, Any] | None:
        """Return the least and the greatest sample in each of `width` equal parts of a version."""
        if (sound := self.of(row, version)) is None:
            return None
        width = max(1, min(width, len(sound.x)))
        starts = np.linspace(0, len(sound.x), width, endpoint=False).astype(int)
        x = sound.x.astype(np.float64)
        low, high = (reduce.reduceat(x, starts).round(4).tolist() for reduce in (np.minimum, np.maximum))
        return {"low": low, "high": high, "duration_s": sound.duration_s}

    def _once(self, what: str, clip_id: str, make: Callable[[], Made]) -> Made:
        name = what, clip_id
        with self._lock:
            if name in self._made:
                self._made.move_to_end(name)
                return self._made[name]
        made = make()
        with self._lock:
            self._made[name] = made
            while len(self._made) > 2 * REMEMBERED:
                self._made.popitem(last=False)
        return made


def _lying(row: Mapping[str, Any]) -> str:
    """Return which version of a clip lies in the tar that users get."""
    return str(row["chosen"] or "raw") if row["verdict"] == Verdict.KEPT.value else "raw"


def _power_db(sound: Sound) -> np.ndarray:
    """Return the short-time power spectrum of a sound in dB.

    Shapes: -> (F, T), lowest frequency first, T <= COLUMNS.
    """
    n_fft = 512 if sound.sample_rate <= 24000 else 1024
    hop = max(round(SHORTEST_S * sound.sample_rate), -(-len(sound.x) // COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound.x, n_fft // 2), n_fft)[::hop]
    spec = np.fft.rfft(frames * np.hanning(n_fft).astype(np.float32))
    return 10 * np.log10(np.square(np.abs(spec)).T + 1e-12)


def _png(level_db: np.ndarray) -> bytes:
    """Return levels, (F, T) in dB below 0, as the pixels of a PNG: frequency up, time to the right."""
    from PIL import Image

    from clean_corpus.pipeline.report.plots import HEAT  # loads matplotlib, for its colours

    steps = np.rint(np.clip(1 + level_db / RANGE_DB, 0, 1) * (len(HEAT) - 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(steps[::-1]))
    image.putpalette(HEAT.tobytes())
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def part_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first and last byte of what a Range header asks for; None if it asks for all.

    Raises: DataError for a range that begins behind the end.

    >>> part_of("bytes=2-", 10), part_of("bytes=-3", 10), part_of("bytes=0-99", 10), part_of("lines=1-2", 10)
    ((2, 9), (7, 9), (0, 9), None)
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header or "")
    if not found or found[1] == found[2] == "":
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size - 1
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if first >= size or first > last:
        raise DataError(f"range {header}: the audio has {size} bytes")
    return first, last
