"""DNSMOS: opinion scores of speech without a reference, those of speechmos at a fraction of its time."""

import hashlib
import importlib.util
import math
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

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
    """Where speechmos keeps a network."""
    # not through `import speechmos.dnsmos`, which loads librosa and numba
    package = importlib.util.find_spec("speechmos")
    return Path(package.submodule_search_locations[0]) / "dnsmos_models" / file


def rulers() -> dict[str, str]:
    """Ruler -> package, version, network and its hash."""
    digests = {file: hashlib.sha256(network_path(file).read_bytes()).hexdigest()[:12] for file in NETWORKS.values()}
    package = f"speechmos {version('speechmos')}"
    return {ruler: f"{package} {file} sha256 {digests[file]}" for ruler, file in NETWORKS.items()}


class Dnsmos:
    """P.835 and P.808 opinion scores, equal to speechmos within 1e-4.

    speechmos hears a clip in windows of 9.01 s every second, each from the beginning. The P.835 network is
    convolutions, a global maximum and a few dense layers: all but its last convolution (the trunk) is computed here
    once for all windows, and for a repeated short clip once per period. Only the 24 frames at the ends of each
    window, where its zero padding is felt, are computed again.

    Source: Reddy, Gopal & Cutler, ICASSP 2021 (P.808) and 2022 (P.835); speechmos.dnsmos.DNSMOS.__call__.
    Shapes: (N,) samples at 16 kHz in [-1, 1] -> score name -> MOS, mean of the windows.
    """

    def __init__(self) -> None:
        p835 = network_path(NETWORKS["dnsmos_p835"]).read_bytes()
        trunk_out = (TRUNK_OUT, ("B", 32, "T/4", 40))
        self._trunk = session(subgraph(p835, (TRUNK_IN, ("B", "T", 320)), trunk_out))
        self._head = session(subgraph(p835, trunk_out, (HEAD_OUT, ("B", 3))))
        self._p808 = session(network_path(NETWORKS["dnsmos_p808"]).read_bytes())

    def __call__(self, x: Audio) -> dict[str, float]:
        period = x.size
        while x.size < WINDOW:
            x = np.append(x, x)
        hops = window_hops(x.size)
        raw, p808 = [], []
        for i in range(0, len(hops), WINDOWS_AT_ONCE):
            group = np.array(hops[i : i + WINDOWS_AT_ONCE])
            stretch = x[group[0] * HOP : group[-1] * HOP + WINDOW]
            first = FRAMES_PER_HOP * (group - group[0])
            raw.append(self._p835_raw(stretch, first, period))
            p808 += [self._p808.run(None, {"input_1": window[None]})[0] for window in _p808_features(stretch, first)]
        mos = {"dnsmos_p808": float(np.mean(np.concatenate(p808)))}
        heads = np.concatenate(raw).astype(np.float64).T  # (3, windows)
        for (name, polynomial), head in zip(P835_POLYNOMIALS.items(), heads, strict=True):
            mos[name] = float(np.mean(np.polyval(polynomial, head)))
        return mos

    def _p835_raw(self, x: Audio, first: NDArray[np.int64], period: int) -> NDArray[np.float32]:
        """Sig, bak and ovrl of the windows that begin at some frames of x, which repeats after `period` samples.

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
        """The trunk's outputs of any number of frames, one stretch after another; each sees EDGE_FRAMES around it.

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


def window_hops(n_samples: int) -> list[int]:
    """The hops at which speechmos hears a window.

    It drops those that rounding makes a sample short: 7 to 23 and 119 to 122, so that of a clip of 30 s only the first
    half is heard. Kept, because a score must mean what the published ones mean.

    >>> window_hops(10 * HOP), window_hops(20 * HOP)
    ([0], [0, 1, 2, 3, 4, 5, 6])
    """
    n_hops = int(n_samples // HOP - 9.01) + 1
    return [i for i in range(n_hops) if int((i + 9.01) * HOP) - i * HOP == WINDOW]


def _p808_features(x: Audio, first: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log-mel spectrograms of the windows that begin at some frames of x, 0 dB at each one's maximum.

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


def session(network: bytes) -> onnxruntime.InferenceSession:
    """A network on one thread, from the bytes of its ONNX file; it keeps the memory that its longest input took."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # keeps a plan for each length of input
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


# ---- a part of an ONNX network -----------------------------------------------------------------------------------

Tensor = tuple[str, tuple[int | str, ...]]
"""Name and shape of a float tensor; a size that varies has a name."""


def subgraph(model: bytes, given: Tensor, wanted: Tensor) -> bytes:
    """The nodes of an ONNX model between two of its tensors, as a model.

    Written here so that a package (onnx) is not needed for one cut.

    Source: onnx.proto: ModelProto.graph = 7; GraphProto.node = 1, name = 2, initializer = 5, input = 11, output = 12;
    NodeProto.input = 1, output = 2; TensorProto.name = 8.
    Raises: ValueError if the model has no path between them.
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
    ends = [_field(11, _value_info(given)), _field(12, _value_info(wanted))]
    cut = _field(7, b"".join([*nodes, _field(2, b"cut"), *weights, *ends]))
    return b"".join(cut if number == 7 else raw for number, _, raw in _fields(model))


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

    Source: protobuf.dev, Encoding.
    Departs: knows numbers (wire type 0) and byte strings (2); the parts of a model that are read here hold no others.
    Raises: ValueError for a field of another type.

    >>> list(_fields(_field(7, b"ab")))
    [(7, b'ab', b':\\x02ab')]
    """
    end = 0
    while end < len(message):
        begin = end
        tag, start = _read_varint(message, begin)
        number, wire_type = divmod(tag, 8)
        value, end = _read_varint(message, start)
        if wire_type == 2:
            start, end = end, end + value
        elif wire_type != 0:
            raise ValueError(f"byte {begin}: wire type {wire_type}, expected 0 or 2")
        yield number, message[start:end], message[begin:end]


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where the next field begins.

    >>> _read_varint(_varint(300), 0)
    (300, 2)
    """
    end = next(i for i in range(at, len(message)) if message[i] < 128) + 1
    return sum((byte & 127) << 7 * i for i, byte in enumerate(message[at:end])), end


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; all but the last have the eighth set.

    >>> _varint(300)
    b'\\xac\\x02'
    """
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes(head) + bytes([value])
