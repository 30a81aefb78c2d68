"""DNSMOS: the opinion scores of package speechmos, of its own windows or of a whole clip, at a fraction of its time."""

import hashlib
import importlib.util
import math
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.mel import mel_filterbank
from clean_corpus.pipeline.quality.onnx_parts import extract, runner, without_channels
from clean_corpus.pipeline.quality.shared_trunk import END, FRAMES, REACH, STRIDE, SharedTrunk, Stretch

RATE = 16000  # Hz
NETWORKS = {"dnsmos_p835": "sig_bak_ovr.onnx", "dnsmos_p808": "model_v8.onnx"}

# raw head -> MOS, highest power first; speechmos.dnsmos.DNSMOS.get_polyfit_val
P835_POLYNOMIALS = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}

WINDOW = 144160  # samples that the networks hear at once, 9.01 s
HOP = 16000  # samples from window to window, 1 s
FRAME_HOP = 160  # of both networks
FRAMES_PER_HOP = HOP // FRAME_HOP
WINDOWS_AT_ONCE = 52  # 1 min

Windows = Literal["whole", "speechmos"]
"""Windows that cover a clip of any length, or those of package speechmos, which leave out what its rounding drops."""

# where each network is cut in two: its frames, the last convolution of its trunk, its opinions
CUTS = {
    "dnsmos_p835": (
        ("mos_estimator_logpow/concat:0", ("B", "T", 320)),
        ("mos_estimator_logpow/conv2d_5/Relu:0", ("B", 32, "T/4", 40)),
        ("Identity:0", ("B", 3)),
    ),
    "dnsmos_p808": (
        ("input_1", ("B", "T", 120)),
        ("mos_estimator_small_1/conv2d_8/Relu:0", ("B", 32, "T/4", 30)),
        ("Identity:0", ("B", 1)),
    ),
}

# Channels of P.835's second convolution that no sound activates: before the rectifier they are -0.07 at the most, in
# recordings as in noise, clicks and tones (benchmarks/idle_channels.py). There are 23; 48 of 64 fill registers.
IDLE = ("conv2d_1", "conv2d_2", (2, 4, 12, 21, 22, 30, 34, 36, 40, 41, 42, 44, 46, 48, 53, 62))

N_FFT = 321
N_MELS = 120


def network_path(file: str) -> Path:
    """Return where speechmos keeps a network."""
    # not through `import speechmos.dnsmos`, which loads librosa and numba
    package = importlib.util.find_spec("speechmos")
    return Path(package.submodule_search_locations[0]) / "dnsmos_models" / file


def rulers(windows: Windows) -> dict[str, str]:
    """Return what measures DNSMOS: ruler -> package, version, network and its hash, windows."""
    digests = {file: hashlib.sha256(network_path(file).read_bytes()).hexdigest()[:12] for file in NETWORKS.values()}
    package = f"speechmos {version('speechmos')}"
    return {ruler: f"{package} {file} sha256 {digests[file]}, {windows} windows" for ruler, file in NETWORKS.items()}


class Dnsmos:
    """Compute P.835 and P.808 opinion scores: means over windows of 9.01 s, about one every second.

    A clip shorter than a window is repeated until it fills one. `whole` windows cover all of a clip, and each counts
    by the share of the clip that it adds, so that every second counts alike. `speechmos` takes the windows that package
    does, and equals it within 1e-4: it hears at most the first 15 s, and no tail beyond its last window.

    What windows have in common is computed once, and what a short clip repeats too: see `SharedTrunk`.

    Source: Reddy, Gopal & Cutler, ICASSP 2021 (P.808) and 2022 (P.835); speechmos.dnsmos.DNSMOS.__call__.
    Shapes: (N,) samples at 16 kHz in [-1, 1] -> score name -> MOS, mean of the windows.
    """

    def __init__(self, windows: Windows = "whole") -> None:
        self._windows = windows
        from clean_corpus.pipeline.quality.p835_trunk import P835Trunk  # its Numba loads for a second

        p835, head = parts("dnsmos_p835")
        self._p835 = SharedTrunk(P835Trunk(p835), runner(head))
        self._p808 = SharedTrunk(*map(runner, parts("dnsmos_p808")))

    def __call__(self, x: Audio) -> dict[str, float]:
        found, raw, p808 = heard(x, self._windows), [], []
        for speech, bands in found.stretches:
            raw.append(self._p835(speech))
            p808 += [self._p808(stretch)[:, 0] for stretch in bands]
        return opinions(found.share, np.concatenate(raw), np.concatenate(p808))


class Heard(NamedTuple):
    """What the networks hear of a clip, a minute of windows at a time, and how much each window counts.

    Shapes: stretches of P.835, and of P.808 for the same windows; share (W,), sum 1.
    """

    stretches: Iterable[tuple[Stretch, list[Stretch]]]
    share: NDArray[np.float64]


def heard(x: Audio, windows: Windows) -> Heard:
    """Return what the networks hear of a clip; shapes: x (N,) at RATE in [-1, 1]."""
    period = math.lcm(x.size, STRIDE * FRAME_HOP) // FRAME_HOP  # of what is repeated: whole trunk outputs
    x, starts = whole_clip(x) if windows == "whole" else as_speechmos(x)

    def stretches() -> Iterator[tuple[Stretch, list[Stretch]]]:
        for i in range(0, len(starts), WINDOWS_AT_ONCE):
            group = starts[i : i + WINDOWS_AT_ONCE]
            some = x[group[0] * FRAME_HOP : group[-1] * FRAME_HOP + WINDOW]
            yield _frames(some, group - group[0], period), list(_bands(some, group - group[0], period))

    return Heard(stretches(), shares(starts) if windows == "whole" else np.full(len(starts), 1 / len(starts)))


def opinions(share: NDArray[np.float64], raw: NDArray[np.float32], p808: NDArray[np.float32]) -> dict[str, float]:
    """Return the scores of a clip from what the networks say of its windows.

    Shapes: share (W,), raw (W, 3) sig, bak and ovrl, p808 (W,).
    """
    mos = {"dnsmos_p808": float(share @ p808)}
    heads = raw.astype(np.float64).T  # (3, windows)
    for (name, polynomial), head in zip(P835_POLYNOMIALS.items(), heads, strict=True):
        mos[name] = float(share @ np.polyval(polynomial, head))
    return mos


def _frames(x: Audio, first: NDArray[np.int64], period: int) -> Stretch:
    """Return what P.835 hears of the windows that begin at some frames of x, repeated after `period` frames.

    Shapes: x (N,), first (W,) -> frames (T, 320).
    """
    frames = np.lib.stride_tricks.sliding_window_view(x, 2 * FRAME_HOP)[::FRAME_HOP]  # (T, 320)
    inner = first[:, None] + np.arange(END)
    return Stretch(frames, first, frames[inner], frames[inner + FRAMES - END], period)


def _bands(x: Audio, first: NDArray[np.int64], period: int) -> Iterator[Stretch]:
    """Yield what P.808 hears of the same windows.

    The network hears each relative to its loudest band, so windows share what those beside them hear if that is the
    same one.
    Shapes: x (N,), first (W,) -> frames (T, 120).
    """
    mel = MelWindows(x, first, period)
    for some in mel.alike():
        start, stop = first[some[0]], first[some[-1]] + FRAMES
        frames = mel.stretch(start, min(stop, start + period + END), some[0])
        yield Stretch(frames, first[some] - start, *mel.ends(some), period)


def whole_clip(x: Audio) -> tuple[Audio, NDArray[np.int64]]:
    """Return a clip with its own beginning behind it up to the end of the last window, and where windows begin.

    Windows are spread evenly, at most a second apart. Of a clip longer than a window at most 40 ms come twice.
    Shapes: x (N,) -> (M,), M >= N; (W,) frames, multiples of STRIDE.

    >>> [whole_clip(np.zeros(n, np.float32))[1].tolist() for n in (HOP, WINDOW, WINDOW + 1, 11 * HOP)]
    [[0], [0], [0, 4], [0, 100, 200]]
    """
    steps = -(-max(0, x.size - WINDOW) // (STRIDE * FRAME_HOP))
    x = np.resize(x, WINDOW + steps * STRIDE * FRAME_HOP)
    n_windows = -(-steps * STRIDE // FRAMES_PER_HOP) + 1
    return x, STRIDE * np.rint(np.linspace(0, steps, n_windows)).astype(np.int64)


def shares(starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much each window counts if every frame counts once, shared among the windows that hold it.

    Shapes: starts (W,) frames, from 0 -> (W,), sum 1.

    >>> shares(np.array([0])).tolist(), shares(np.array([0, 901])).tolist()
    ([1.0], [0.5, 0.5])
    """
    frames = WINDOW // FRAME_HOP
    held = np.zeros(starts[-1] + frames)
    for start in starts:
        held[start : start + frames] += 1
    return np.array([np.sum(1 / held[start : start + frames]) for start in starts]) / len(held)


def as_speechmos(x: Audio) -> tuple[Audio, NDArray[np.int64]]:
    """Return a clip, doubled until it fills a window, and the frames at which speechmos scores a window.

    Shapes: x (N,) -> (M,), M >= N; (W,) frames.
    """
    while x.size < WINDOW:
        x = np.append(x, x)
    return x, FRAMES_PER_HOP * np.array(window_hops(x.size))


def window_hops(n_samples: int) -> list[int]:
    """Return the hops at which speechmos scores a window.

    speechmos drops the windows that its rounding makes a sample short: 7 to 23 and 119 to 122. Of a clip of 30 s it
    scores only the first half.

    >>> window_hops(10 * HOP), window_hops(20 * HOP)
    ([0], [0, 1, 2, 3, 4, 5, 6])
    """
    n_hops = int(n_samples // HOP - 9.01) + 1
    return [i for i in range(n_hops) if int((i + 9.01) * HOP) - i * HOP == WINDOW]


class MelWindows:
    """Log-mel spectrograms of the windows that begin at some frames of x, 0 dB at the maximum of each.

    Source: speechmos.dnsmos.DNSMOS.audio_melspec, librosa.feature.melspectrogram and power_to_db.
    Shapes: x (N,), which repeats itself after `period` frames, first (W,) frames -> (T, 120) of a stretch, (dB + 40) /
    40 in [-1, 1].
    """

    def __init__(self, x: Audio, first: NDArray[np.int64], period: int) -> None:
        self._first, self._period = first, period
        half = N_FFT // 2  # frames are centred at multiples of the hop
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, half), N_FFT)[::FRAME_HOP]  # (T, 321)
        heads, tails = frames[first], frames[first + FRAMES - 1]
        heads[:, :half] = tails[:, -1:] = 0.0  # outside of the window
        self._db = _mel_db(frames[: period + END])
        self._heads_db, self._tails_db = _mel_db(heads), _mel_db(tails)
        peaks = self._db.max(axis=1)
        inner = peaks[self._at(first[:, None] + np.arange(1, FRAMES - 1))].max(axis=1)
        self._peak = np.max([inner, self._heads_db.max(axis=1), self._tails_db.max(axis=1)], axis=0)  # (W,) dB

    def _at(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where frames, or equal ones a number of periods before, are known."""
        return np.where(frames < len(self._db), frames, REACH + (frames - REACH) % self._period)

    def alike(self) -> Iterator[NDArray[np.int64]]:
        """Yield the numbers of windows that follow each other and have the same maximum."""
        yield from np.split(np.arange(len(self._peak)), 1 + np.flatnonzero(np.diff(self._peak)))

    def _relative(self, db: NDArray[np.float32], window: int) -> NDArray[np.float32]:
        return (np.maximum(db - self._peak[window], -80.0) + 40) / 40

    def stretch(self, start: int, stop: int, window: int) -> NDArray[np.float32]:
        """Return the frames from where a window begins; the last one is a window's if that ends there."""
        db = self._db[self._at(np.arange(start, stop))]
        db[0] = self._heads_db[window]
        last = np.flatnonzero(self._first + FRAMES == stop)
        if last.size:
            db[-1] = self._tails_db[last[0]]
        return self._relative(db, window)

    def ends(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the first and the last END frames of windows with the same maximum, (W, END, 120) each."""
        inner = self._first[windows, None] + np.arange(END)
        heads, tails = self._db[self._at(inner)], self._db[self._at(inner + FRAMES - END)]
        heads[:, 0], tails[:, -1] = self._heads_db[windows], self._tails_db[windows]
        return self._relative(heads, windows[0]), self._relative(tails, windows[0])


def _mel_db(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shapes: (T, 321) samples -> (T, 120) dB."""
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)
    spec = np.fft.rfft(frames * hann)
    power = (np.square(spec.real) + np.square(spec.imag)).astype(np.float32) @ _filterbank()
    return 10 * np.log10(np.maximum(power, 1e-10))


@cache
def _filterbank() -> NDArray[np.float32]:
    """Shapes: -> (161, 120)."""
    return mel_filterbank(sample_rate=RATE, n_fft=N_FFT, n_mels=N_MELS)


@cache
def parts(ruler: str) -> tuple[bytes, bytes]:
    """Return a network cut in two: the trunk, for any number of frames, and the rest of it.

    The trunk of P.835 is without channels that are always 0, which changes no number.
    """
    path, (begin, between, end) = network_path(NETWORKS[ruler]), CUTS[ruler]
    trunk, rest = extract(path, begin, between), extract(path, between, end)
    return (without_channels(trunk, *IDLE) if ruler == "dnsmos_p835" else trunk), rest
