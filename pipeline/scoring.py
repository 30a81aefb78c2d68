"""How good a clip is: each score with the ruler that measured it."""

import hashlib
import importlib.util
import math
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from numpy.typing import NDArray

from pipeline import dsp, metrics, segment
from pipeline.clip import Scores
from pipeline.errors import DataError
from pipeline.synthetic import Audio

SCORES: dict[str, str] = {
    "dnsmos_sig": "DNSMOS P.835, quality of the speech itself, MOS 1 to 4.01",
    "dnsmos_bak": "DNSMOS P.835, absence of background, MOS 1 to 4.36",
    "dnsmos_ovrl": "DNSMOS P.835, overall quality, MOS 1 to 3.93",
    "dnsmos_p808": "DNSMOS P.808, overall quality, MOS 1 to 5",
    "snr_db": "estimated ratio of speech to background, -10 to 60 dB",
    "clipping_ratio": "share of samples cut off at the clip's ceiling, 0 to 1",
    "bandwidth_hz": "highest frequency that carries sound, 0 to half the sample rate, Hz",
    "speech_ratio": "share of the time that is speech, 0 to 1",
    "loudness_lufs": "integrated loudness, -70 to about 0 LUFS",
    "pesq_wb": "PESQ wide-band against the clean twin, MOS-LQO 1.04 to 4.64",
    "stoi": "short-time intelligibility against the clean twin, 0 to 1",
    "si_sdr_db": "scale-invariant signal to distortion against the clean twin, -100 to 100 dB",
}

RATE = 16000  # Hz, of DNSMOS and PESQ
MIN_S = 0.1  # a shorter clip holds no syllable, and DNSMOS would hear its repetition as a buzz
MIN_STOI_S = 0.4  # STOI correlates stretches of 384 ms

# raw head -> MOS, highest power first; speechmos.dnsmos.DNSMOS.get_polyfit_val
P835_POLYNOMIALS = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}

CEILINGS: dict[str, float] = {
    # raw outputs are opinions up to 5, below the vertex of each polynomial: 4.01, 4.36 and 3.93
    **{name: round(float(np.polyval(polynomial, 5.0)), 4) for name, polynomial in P835_POLYNOMIALS.items()},
    "dnsmos_p808": 5.0,
    "snr_db": metrics.SNR_LIMITS_DB[1],
    "clipping_ratio": 1.0,
    "speech_ratio": 1.0,
    "pesq_wb": round(0.999 + 4.0 / (1.0 + math.exp(-1.3669 * 4.5 + 3.8224)), 4),  # P.862.2, raw PESQ of 4.5
    "stoi": 1.0,
    "si_sdr_db": metrics.RATIO_LIMIT_DB,
}
"""Score name -> the highest value its ruler can give; bandwidth_hz is left out, half of any sample rate."""

_PACKAGES = {"loudness": "pyloudnorm", "pesq": "pesq", "stoi": "pystoi", "resampler": "soxr"}


@cache
def rulers() -> dict[str, str]:
    """What measured the scores: package and version, for DNSMOS the hash of the network too."""
    return {
        "dnsmos_p835": _speechmos("sig_bak_ovr.onnx"),
        "dnsmos_p808": _speechmos("model_v8.onnx"),
        "speech": segment.VAD_VERSION,
        **{name: f"{package} {version(package)}" for name, package in _PACKAGES.items()},
    }


def _speechmos(network: str) -> str:
    digest = hashlib.sha256(_network_path(network).read_bytes()).hexdigest()[:12]
    return f"speechmos {version('speechmos')} {network} sha256 {digest}"


def _network_path(network: str) -> Path:
    # not through `import speechmos.dnsmos`, which loads librosa and numba
    package = importlib.util.find_spec("speechmos")
    return Path(package.submodule_search_locations[0]) / "dnsmos_models" / network


class Scorer:
    """All scores of a clip; one per process, since it holds the networks."""

    def __init__(self, *, speech_threshold: float) -> None:
        self._speech_threshold = speech_threshold
        self._dnsmos: Dnsmos | None = None

    def score(self, x: Audio, *, sample_rate: int, clean: Audio | None = None) -> Scores:
        """Every name of SCORES; None where it cannot be measured (silence, too short, no clean twin).

        Shapes: x (N,) samples at sample_rate, clean (N,).
        Raises: DataError if the clean twin's length is another; ValueError if x is not a row of samples.
        """
        if x.ndim != 1 or x.size == 0:
            raise ValueError(f"expected samples of shape (N,), N > 0, got {x.shape}")
        if clean is not None and clean.shape != x.shape:
            raise DataError(f"clean twin has {clean.size} samples, the clip {x.size}; they must be sample-aligned")
        speech = segment.speech_mask(x, self._speech_threshold, sample_rate=sample_rate)
        at_16k = _resample(x, sample_rate)
        values: dict[str, float | None] = dict.fromkeys(SCORES)
        if at_16k.size >= MIN_S * RATE and np.any(at_16k):
            if self._dnsmos is None:
                self._dnsmos = Dnsmos()
            values |= self._dnsmos(at_16k / max(1.0, float(np.abs(at_16k).max())))
            values["snr_db"] = metrics.snr_estimate_db(x, speech, sample_rate)
        values["clipping_ratio"] = metrics.clipping_ratio(x)
        values["bandwidth_hz"] = metrics.effective_bandwidth_hz(x, sample_rate)
        values["speech_ratio"] = float(np.mean(speech))
        values["loudness_lufs"] = dsp.loudness_lufs(x, sample_rate)
        if clean is not None and np.any(clean):
            clean_at_16k = _resample(clean, sample_rate)
            values["pesq_wb"] = _pesq_wb(at_16k, clean_at_16k)
            values["stoi"] = _stoi(at_16k, clean_at_16k)
            values["si_sdr_db"] = metrics.si_sdr_db(x, clean)
        return {name: _rounded(value) for name, value in values.items()}


def _resample(x: Audio, sample_rate: int) -> Audio:
    return x if sample_rate == RATE else soxr.resample(x, sample_rate, RATE)


def _rounded(value: float | None) -> float | None:
    """Six significant digits, so that a score is the same text on every machine; None for what is not a number.

    >>> _rounded(np.float32(1 / 3)), _rounded(math.nan)
    (0.333333, None)
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _pesq_wb(estimate: Audio, reference: Audio) -> float | None:
    import pesq

    try:
        return pesq.pesq(RATE, reference, estimate, "wb")
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return None


def _stoi(estimate: Audio, reference: Audio) -> float | None:
    import pystoi

    if reference.size < MIN_STOI_S * RATE:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # too little is left without the pauses: 1e-5 and a warning
        try:
            return pystoi.stoi(reference, estimate, RATE)
        except RuntimeWarning:
            return None


# ---- DNSMOS ------------------------------------------------------------------------------------------------------

WINDOW = 144160  # samples that the networks hear at once, 9.01 s
HOP = 16000
FRAME_HOP = 160  # of both networks
FRAMES = 900  # per window
FRAMES_PER_HOP = HOP // FRAME_HOP
WINDOWS_AT_ONCE = 7  # 15 s; holds the trunk's activations below 300 MB

TRUNK_IN = "mos_estimator_logpow/concat:0"  # (B, T, 320) frames
TRUNK_OUT = "mos_estimator_logpow/conv2d_5/Relu:0"  # (B, 32, T/4, 40)
HEAD_OUT = "Identity:0"  # (B, 3)
STRIDE = 4  # frames per trunk output
EDGE = 3  # trunk outputs at each end of a window that its zero padding reaches
EDGE_FRAMES = 24  # enough to compute them

N_FFT = 321
N_MELS = 120


class Dnsmos:
    """P.835 and P.808 opinion scores without a reference, equal to speechmos within 1e-4 at a fraction of its time.

    speechmos hears a clip in windows of 9.01 s every second, each from the beginning. The P.835 network is
    convolutions, a global maximum and a few dense layers: all but its last convolution (the trunk) is computed here
    once for all windows, and for a repeated short clip once per period. Only the 24 frames at the ends of each
    window, where its zero padding is felt, are computed again.

    Source: Reddy, Gopal & Cutler, ICASSP 2021 (P.808) and 2022 (P.835); speechmos.dnsmos.DNSMOS.__call__.
    Shapes: (N,) samples at 16 kHz in [-1, 1] -> score name -> MOS, mean of the windows.
    """

    def __init__(self) -> None:
        p835 = _network_path("sig_bak_ovr.onnx").read_bytes()
        trunk_out = (TRUNK_OUT, ("B", 32, "T/4", 40))
        self._trunk = _session(subgraph(p835, (TRUNK_IN, ("B", "T", 320)), trunk_out))
        self._head = _session(subgraph(p835, trunk_out, (HEAD_OUT, ("B", 3))))
        self._p808 = _session(_network_path("model_v8.onnx").read_bytes())

    def __call__(self, x: Audio) -> dict[str, float]:
        period = x.size
        while x.size < WINDOW:
            x = np.append(x, x)
        starts = _window_starts(x.size)
        raw, p808 = [], []
        for i in range(0, len(starts), WINDOWS_AT_ONCE):
            group = starts[i : i + WINDOWS_AT_ONCE]
            stretch = x[group[0] * HOP : group[-1] * HOP + WINDOW]
            at = [start - group[0] for start in group]
            raw.append(self._p835_raw(stretch, at, period))
            p808.append(self._p808.run(None, {"input_1": _p808_features(stretch, at)})[0])
        raw = np.concatenate(raw).astype(np.float64)  # (windows, 3)
        mos = {
            name: float(np.mean(np.polyval(polynomial, raw[:, i])))
            for i, (name, polynomial) in enumerate(P835_POLYNOMIALS.items())
        }
        return mos | {"dnsmos_p808": float(np.mean(np.concatenate(p808)))}

    def _p835_raw(self, x: Audio, starts: list[int], period: int) -> NDArray[np.float32]:
        """Sig, bak and ovrl of the windows that begin `starts` hops into x, which repeats after `period` samples.

        Shapes: -> (windows, 3).
        """
        frames = np.lib.stride_tricks.sliding_window_view(x, 2 * FRAME_HOP)[::FRAME_HOP]  # (T, 320)
        period = math.lcm(period, STRIDE * FRAME_HOP) // FRAME_HOP  # in frames, and whole trunk outputs
        shared = self._run_trunk(frames[None, : period + 2 * EDGE_FRAMES])[0]  # (32, T/4, 40)
        at = np.arange(len(frames) // STRIDE)
        valid = at < shared.shape[1] - EDGE
        at = np.where(valid, at, EDGE + (at - EDGE) % (period // STRIDE))
        firsts = [start * FRAMES_PER_HOP for start in starts]
        heads = [frames[first : first + EDGE_FRAMES] for first in firsts]
        tails = [frames[first + FRAMES - EDGE_FRAMES : first + FRAMES] for first in firsts]
        edges = self._run_trunk(np.stack(heads + tails))  # (2 windows, 32, 6, 40)
        windows = np.stack([shared[:, at[first // STRIDE : (first + FRAMES) // STRIDE]] for first in firsts])
        windows[:, :, :EDGE] = edges[: len(starts), :, :EDGE]
        windows[:, :, -EDGE:] = edges[len(starts) :, :, -EDGE:]
        return self._head.run(None, {TRUNK_OUT: windows})[0]

    def _run_trunk(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._trunk.run(None, {TRUNK_IN: np.ascontiguousarray(frames)})[0]


def _window_starts(n_samples: int) -> list[int]:
    """The hops at which speechmos hears a window.

    It drops those that rounding makes a sample short: 7 to 23, for one, so that of a clip of 30 s only the first half
    is heard. Kept, because a score must mean what the published ones mean.

    >>> _window_starts(10 * HOP), _window_starts(20 * HOP)
    ([0], [0, 1, 2, 3, 4, 5, 6])
    """
    n_hops = int(n_samples // HOP - 9.01) + 1
    return [i for i in range(n_hops) if int((i + 9.01) * HOP) - i * HOP == WINDOW]


def _p808_features(x: Audio, starts: list[int]) -> NDArray[np.float32]:
    """Log-mel spectrograms of the windows that begin `starts` hops into x, 0 dB at each one's maximum.

    Source: speechmos.dnsmos.DNSMOS.audio_melspec, librosa.feature.melspectrogram and power_to_db.
    Shapes: x (N,) -> (windows, 900, 120), (dB + 40) / 40 in [-1, 1].
    """
    half = N_FFT // 2  # frames are centred at multiples of the hop
    window_samples = FRAMES * FRAME_HOP
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, half), N_FFT)[::FRAME_HOP]
    shared = _mel_power(frames)
    first = np.stack([np.pad(x[s * HOP : s * HOP + half + 1], (half, 0)) for s in starts])
    tails = [x[s * HOP + window_samples - N_FFT + 1 : s * HOP + window_samples] for s in starts]
    last = np.pad(np.stack(tails), ((0, 0), (0, 1)))
    mel = np.stack([shared[s * FRAMES_PER_HOP : s * FRAMES_PER_HOP + FRAMES] for s in starts])
    mel[:, 0] = _mel_power(first)
    mel[:, -1] = _mel_power(last)
    db = 10 * np.log10(np.maximum(mel, 1e-10))
    peak = db.max(axis=(1, 2), keepdims=True)
    return (np.maximum(db - peak, -80.0) + 40) / 40


def _mel_power(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shapes: (T, 321) samples -> (T, 120) power."""
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)
    spec = np.fft.rfft(frames * hann)
    return (np.square(spec.real) + np.square(spec.imag)).astype(np.float32) @ mel_filterbank()


@cache
def mel_filterbank() -> NDArray[np.float32]:
    """Triangles of equal area on Slaney's mel scale, 0 to 8 kHz.

    Source: librosa.filters.mel(sr=16000, n_fft=321, n_mels=120), equal within 1e-6.
    Shapes: -> (161, 120).
    """
    mel = np.linspace(0.0, 15.0 + 27.0 * math.log(RATE / 2 / 1000.0) / math.log(6.4), N_MELS + 2)
    # linear to 1 kHz = 15 mel, then 27 mel per factor 6.4
    corner_hz = np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))
    bin_hz = np.arange(N_FFT // 2 + 1)[:, None] * (RATE / N_FFT)
    low, centre, high = corner_hz[:-2], corner_hz[1:-1], corner_hz[2:]
    rising, falling = (bin_hz - low) / (centre - low), (high - bin_hz) / (high - centre)
    return (np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)).astype(np.float32)


def _session(network: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # one plan per input length would be kept for ever
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


# ---- a part of an ONNX network -----------------------------------------------------------------------------------

Tensor = tuple[str, tuple[int | str, ...]]
"""Name and shape of a float tensor; a size that varies has a name."""


def subgraph(model: bytes, given: Tensor, wanted: Tensor) -> bytes:
    """The nodes of an ONNX model between two of its tensors, as a model.

    Written here so that a package (onnx) is not needed for one cut.

    Source: onnx.proto: ModelProto.graph = 7; GraphProto.node = 1, name = 2, initializer = 5, input = 11, output = 12;
    NodeProto.input = 1, output = 2; TensorProto.name = 8.
    Raises: ValueError if the model does not hold one of the tensors.
    """
    graph = next(body for number, body, _ in _fields(model) if number == 7)
    parts = list(_fields(graph))
    needed, nodes = {wanted[0]}, []
    for number, body, raw in reversed(parts):
        if number == 1 and needed & (outputs := _names(body, 2)) and given[0] not in outputs:
            needed |= _names(body, 1)
            nodes.insert(0, raw)
    if not nodes or given[0] not in needed:
        raise ValueError(f"model has no path from {given[0]!r} to {wanted[0]!r}")
    weights = [raw for number, body, raw in parts if number == 5 and _names(body, 8) & needed]
    cut = b"".join(
        [*nodes, _field(2, b"cut"), *weights, _field(11, _value_info(given)), _field(12, _value_info(wanted))]
    )
    return b"".join(_field(7, cut) if number == 7 else raw for number, _, raw in _fields(model))


def _value_info(tensor: Tensor) -> bytes:
    """ValueInfoProto: name = 1, type.tensor_type = 2.1 with elem_type = 1 (1 is float32), shape.dim = 2.1."""
    name, shape = tensor
    sizes = [b"\x08" + _varint(size) if isinstance(size, int) else _field(2, size.encode()) for size in shape]
    dims = b"".join(_field(1, size) for size in sizes)
    return _field(1, name.encode()) + _field(2, _field(1, b"\x08\x01" + _field(2, dims)))


def _names(message: bytes, number: int) -> set[str]:
    return {body.decode() for n, body, _ in _fields(message) if n == number}


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field of a Protocol Buffers message: its number, its content, and both with their tag as they lie there.

    >>> list(_fields(_field(7, b"ab")))
    [(7, b'ab', b':\\x02ab')]

    Source: protobuf.dev, Encoding.
    """
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        begin = at
        number, wire_type = divmod(varint(), 8)
        match wire_type:
            case 0:
                body_begin = at
                varint()
            case 1 | 5:
                body_begin, at = at, at + (8 if wire_type == 1 else 4)
            case 2:
                size = varint()
                body_begin, at = at, at + size
            case _:
                raise ValueError(f"byte {begin}: wire type {wire_type}, expected 0, 1, 2 or 5")
        yield number, message[body_begin:at], message[begin:at]


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    """
    >>> _varint(300)
    b'\\xac\\x02'
    """
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes(head) + bytes([value])
