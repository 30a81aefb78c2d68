"""DNSMOS: the opinion scores of package speechmos, of its own windows or of a whole clip, at a fraction of its time."""

import hashlib
import importlib.util
import math
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Audio

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
FRAMES = 900  # per window
FRAMES_PER_HOP = HOP // FRAME_HOP
WINDOWS_AT_ONCE = 7  # 15 s

Windows = Literal["whole", "speechmos"]
"""Windows that cover a clip of any length, or those of package speechmos, which leave out what its rounding drops."""

FRAMES_AT_ONCE = 300  # through the trunk, whose activations they hold below 50 MB

TRUNK_IN = "mos_estimator_logpow/concat:0"  # (B, T, 320) frames
TRUNK_OUT = "mos_estimator_logpow/conv2d_5/Relu:0"  # (B, 32, T/4, 40)
HEAD_OUT = "Identity:0"  # (B, 3)
STRIDE = 4  # frames per trunk output
EDGE = 3  # trunk outputs at each end of a window that its zero padding reaches
EDGE_FRAMES = 24  # enough to compute them

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

    The P.835 network is convolutions, a global maximum and a few dense layers. Here everything up to its last
    convolution (the trunk) runs once for all windows, and for a short clip once per period. Only the 24 frames at both
    ends of each window, which its zero padding reaches, are computed again.

    Source: Reddy, Gopal & Cutler, ICASSP 2021 (P.808) and 2022 (P.835); speechmos.dnsmos.DNSMOS.__call__.
    Shapes: (N,) samples at 16 kHz in [-1, 1] -> score name -> MOS, mean of the windows.
    """

    def __init__(self, windows: Windows = "whole") -> None:
        self._windows = windows
        self._trunk, self._head = map(session, p835_parts())
        self._p808 = session(network_path(NETWORKS["dnsmos_p808"]).read_bytes())

    def __call__(self, x: Audio) -> dict[str, float]:
        period = x.size
        x, starts = whole_clip(x) if self._windows == "whole" else as_speechmos(x)
        raw, p808 = [], []
        for i in range(0, len(starts), WINDOWS_AT_ONCE):
            group = starts[i : i + WINDOWS_AT_ONCE]
            stretch = x[group[0] * FRAME_HOP : group[-1] * FRAME_HOP + WINDOW]
            first = group - group[0]
            raw.append(self._p835_raw(stretch, first, period))
            p808 += [self._p808.run(None, {"input_1": window[None]})[0] for window in _p808_features(stretch, first)]
        share = shares(starts) if self._windows == "whole" else np.full(len(starts), 1 / len(starts))
        mos = {"dnsmos_p808": float(share @ np.concatenate(p808)[:, 0])}
        heads = np.concatenate(raw).astype(np.float64).T  # (3, windows)
        for (name, polynomial), head in zip(P835_POLYNOMIALS.items(), heads, strict=True):
            mos[name] = float(share @ np.polyval(polynomial, head))
        return mos

    def _p835_raw(self, x: Audio, first: NDArray[np.int64], period: int) -> NDArray[np.float32]:
        """Return raw sig, bak and ovrl of the windows that begin at some frames of x, repeated after `period` samples.

        Shapes: x (N,), first (W,) frames -> (W, 3).
        """
        frames = np.lib.stride_tricks.sliding_window_view(x, 2 * FRAME_HOP)[::FRAME_HOP]  # (T, 320)
        period = math.lcm(period, STRIDE * FRAME_HOP) // FRAME_HOP  # in frames, and whole trunk outputs
        shared = self._long_trunk(frames[: period + 2 * EDGE_FRAMES])  # (32, T/4, 40)
        at = (first[:, None] + np.arange(0, FRAMES, STRIDE)) // STRIDE  # (W, 225) trunk outputs
        at = EDGE + np.maximum(at - EDGE, 0) % (period // STRIDE)  # the first ones, which it skips, come from heads
        windows = np.ascontiguousarray(shared[:, at].swapaxes(0, 1))  # (W, 32, 225, 40)
        heads_at = first[:, None] + np.arange(EDGE_FRAMES)
        ends = frames[np.concatenate([heads_at, heads_at + FRAMES - EDGE_FRAMES])]
        heads, tails = np.split(self._run_trunk(ends), 2)  # (W, 32, 6, 40) each
        windows[:, :, :EDGE] = heads[:, :, :EDGE]
        windows[:, :, -EDGE:] = tails[:, :, -EDGE:]
        return np.concatenate([self._head.run(None, {TRUNK_OUT: window[None]})[0] for window in windows])

    def _long_trunk(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the trunk over any number of frames, one stretch after the other, each with EDGE_FRAMES around it.

        Shapes: (T, 320) -> (32, T/4, 40).
        """
        parts = []
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            before = min(start, EDGE_FRAMES)
            stretch = frames[start - before : start + FRAMES_AT_ONCE + EDGE_FRAMES]
            wanted = slice(before // STRIDE, (before + FRAMES_AT_ONCE) // STRIDE)
            parts.append(self._run_trunk(stretch[None])[0][:, wanted])
        return np.concatenate(parts, axis=1)

    def _run_trunk(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._trunk.run(None, {TRUNK_IN: np.ascontiguousarray(frames)})[0]


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


def _p808_features(x: Audio, first: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return log-mel spectrograms of the windows that begin at some frames of x, 0 dB at the maximum of each.

    Source: speechmos.dnsmos.DNSMOS.audio_melspec, librosa.feature.melspectrogram and power_to_db.
    Shapes: x (N,), first (W,) frames -> (W, 900, 120), (dB + 40) / 40 in [-1, 1].
    """
    half = N_FFT // 2  # frames are centred at multiples of the hop
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, half), N_FFT)[::FRAME_HOP]  # (T, 321)
    heads, tails = frames[first], frames[first + FRAMES - 1]
    heads[:, :half] = tails[:, -1:] = 0.0  # outside of the window
    mel = _mel_power(frames)[first[:, None] + np.arange(FRAMES)]  # (W, 900, 120)
    mel[:, 0], mel[:, -1] = _mel_power(heads), _mel_power(tails)
    db = 10 * np.log10(np.maximum(mel, 1e-10))
    return (np.maximum(db - db.max(axis=(1, 2), keepdims=True), -80.0) + 40) / 40


def _mel_power(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shapes: (T, 321) samples -> (T, 120) power."""
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)
    spec = np.fft.rfft(frames * hann)
    return (np.square(spec.real) + np.square(spec.imag)).astype(np.float32) @ _mel_filterbank()


@cache
def _mel_filterbank() -> NDArray[np.float32]:
    """Shapes: -> (161, 120)."""
    from librosa.filters import mel  # two seconds to import, once a worker

    return mel(sr=RATE, n_fft=N_FFT, n_mels=N_MELS).T.astype(np.float32)


# ---- networks --------------------------------------------------------------------------------------------------

Tensor = tuple[str, tuple[int | str, ...]]
"""Name and shape of a float32 tensor in a network; a size that varies has a name."""


@cache
def p835_parts() -> tuple[bytes, bytes]:
    """Return the P.835 network cut in two: the trunk, for any number of frames, and the rest of it."""
    path, between = network_path(NETWORKS["dnsmos_p835"]), (TRUNK_OUT, ("B", 32, "T/4", 40))
    return extract(path, (TRUNK_IN, ("B", "T", 320)), between), extract(path, between, (HEAD_OUT, ("B", 3)))


def extract(path: Path, begin: Tensor, end: Tensor) -> bytes:
    """Return the part of an ONNX network from one of its tensors to another, as a network.

    Raises: ValueError if no path leads from one to the other.
    """
    import onnx.utils  # needed by workers alone

    network = onnx.load(str(path))
    known = {info.name for info in (*network.graph.input, *network.graph.output)}
    network.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (begin, end)
        if name not in known
    )
    part = onnx.utils.Extractor(network).extract_model([begin[0]], [end[0]])
    if not any(begin[0] in node.input for node in part.graph.node):
        raise ValueError(f"{path.name} has no path from {begin[0]!r} to {end[0]!r}")
    return part.SerializeToString()


def session(network: bytes) -> onnxruntime.InferenceSession:
    """Open a network on one thread, from the bytes of its ONNX file; it keeps the memory of its longest input."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # keeps a plan for each length of input
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
