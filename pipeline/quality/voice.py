"""Voices: who speaks in a clip, as embeddings by the network of package resemblyzer, of the clip and of its windows.

Torch is imported by the first `VoiceEncoder` that is made, and resemblyzer never: of it only the weights are read.
"""

import base64
import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio import voice_activity
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.mel import mel_filterbank

if TYPE_CHECKING:
    from torch import Tensor, nn

Name = TypeVar("Name")

PACKAGE, EXTRA = "resemblyzer", "speakers"
WEIGHTS = "pretrained.pt"
RATE = 16000  # Hz
SIZE = 256  # values of an embedding

N_FFT, HOP, N_MELS = 400, 160, 40  # of the frames that the network hears: 25 and 10 ms
WINDOW = 160  # frames of one embedding, 1.6 s
WINDOW_HOP = 40  # frames from window to window, 0.4 s
LEVEL_DB = -30.0  # mean power of the speech, dB of full scale
WINDOWS_AT_ONCE, GPU_WINDOWS_AT_ONCE = 32, 512
GROWN = 3  # windows of voice activity that are taken along on both sides of speech, 0.1 s


class Voice(NamedTuple):
    """The voice of a clip: its embedding, the mean of its windows, and those, each of length 1.

    Shapes: embedding (256,), windows (W, 256).
    """

    embedding: NDArray[np.float32]
    windows: NDArray[np.float32]


def ruler() -> str:
    """Return what embeds voices: package, version, weights and their hash."""
    path = _weights()
    return f"{PACKAGE} {version(PACKAGE)} {path.name} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def _weights() -> Path:
    package = importlib.util.find_spec(PACKAGE)
    return Path(package.submodule_search_locations[0]) / WEIGHTS


def likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return how alike two voices are: the cosine of their embeddings, 0 to 1.

    >>> likeness(np.float32([1, 0]), np.float32([0.6, 0.8]))
    0.6
    """
    return round(float(one @ other), 6)


def to_text(embedding: NDArray[np.float32]) -> str:
    """Return an embedding as text: base64 of 16-bit floating-point numbers, which keep it to 0.0005."""
    return base64.b64encode(to_bytes(embedding)).decode()


def from_text(text: str) -> NDArray[np.float32]:
    """Return the embedding that `to_text` wrote, of length 1.

    >>> from_text(to_text(np.float32([0.6, 0.8]))).round(3).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    return from_bytes(base64.b64decode(text))


def to_bytes(embedding: NDArray[np.float32]) -> bytes:
    """Return an embedding as 16-bit floating-point numbers."""
    return embedding.astype("<f2").tobytes()


def from_bytes(values: bytes) -> NDArray[np.float32]:
    """Return the embedding that `to_bytes` wrote, of length 1."""
    return _unit(np.frombuffer(values, "<f2").astype(np.float32))


class VoiceEncoder:
    """Embed the voice of a clip.

    Source: Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018;
    resemblyzer.VoiceEncoder.embed_utterance.
    Departs: speech is told by silero-vad instead of webrtcvad, brought to one level from both sides, and its windows
    are 0.4 s apart instead of 0.77 s.
    Shapes: (N,) samples at a rate in Hz -> Voice; None where there is no speech.
    """

    def __init__(self, *, speech_threshold: float, device: str = "cpu") -> None:
        self._speech_threshold, self._device = speech_threshold, device
        self._lstm, self._linear = (part.to(device) for part in _network())
        # one clip at a time on a core, as many as fill the device elsewhere
        self._at_once, self._windows = (WINDOWS_AT_ONCE, 1) if device == "cpu" else (GPU_WINDOWS_AT_ONCE,) * 2

    def __call__(self, x: Audio, *, sample_rate: int) -> Voice | None:
        mel = self.hear(x, sample_rate=sample_rate)
        return None if mel is None else self._start([mel])()[0]

    def hear(self, x: Audio, *, sample_rate: int) -> NDArray[np.float32] | None:
        """Return what the network hears of a clip, computed on this core; None where there is no speech.

        Shapes: x (N,) -> (T, 40), T >= WINDOW.
        """
        spoken = speech_of(resample(x, sample_rate, RATE), self._speech_threshold)
        return power_mel(spoken) if np.any(spoken) else None

    def embed_all(self, clips: Iterable[tuple[Name, NDArray[np.float32]]]) -> Iterator[tuple[Name, Voice]]:
        """Yield the voices of what was heard of clips by their names, in their order.

        On a device their windows lie side by side, and the next clips are heard while it computes.
        """
        from clean_corpus.pipeline.quality import device as devices

        def start(some: Sequence[tuple[Name, NDArray[np.float32]]]) -> Callable[[], Iterable[tuple[Name, Voice]]]:
            waiting = self._start([mel for _, mel in some])
            return lambda: zip([name for name, _ in some], waiting(), strict=True)

        batches = devices.batched(clips, lambda clip: len(window_starts(len(clip[1]))), self._windows)
        for voices in devices.overlapped(batches, start):
            yield from voices

    def _start(self, mels: Sequence[NDArray[np.float32]]) -> Callable[[], list[Voice]]:
        """Hand clips to the device; return what waits for their voices."""
        from clean_corpus.pipeline.quality import device as devices

        windows = [[mel[start : start + WINDOW] for start in window_starts(len(mel))] for mel in mels]
        every = [window for of_clip in windows for window in of_clip]
        found = [self._embed(every[i : i + self._at_once]) for i in range(0, len(every), self._at_once)]
        waiting = [devices.fetched(some) for some in found]
        ends = np.cumsum([len(of_clip) for of_clip in windows])[:-1]

        def wait() -> list[Voice]:
            embeddings = _unit(np.concatenate([some() for some in waiting]))
            return [Voice(_unit(of_clip.mean(0)), of_clip) for of_clip in np.split(embeddings, ends)]

        return wait

    def _embed(self, windows: Sequence[NDArray[np.float32]]) -> "Tensor":
        """Return the embeddings of some windows, of any length; shapes: (160, 40) each -> (W, 256)."""
        from clean_corpus.pipeline.quality import device as devices

        with devices.full_precision():
            _, (hidden, _) = self._lstm(devices.padded(windows, self._device))
            return self._linear(hidden[-1]).relu()


def _network() -> tuple["nn.Module", "nn.Module"]:
    """Return the recurrent layers and the projection of the network."""
    import torch

    # tensors and plain values alone are read: no code of the file is run
    state: dict[str, Tensor] = torch.load(_weights(), map_location="cpu", weights_only=True)["model_state"]
    lstm = torch.nn.LSTM(N_MELS, SIZE, 3, batch_first=True)
    linear = torch.nn.Linear(SIZE, SIZE)
    for name, part in (("lstm", lstm), ("linear", linear)):
        part.load_state_dict({k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")})
    return lstm.eval(), linear.eval()


def speech_of(x: Audio, threshold: float) -> Audio:
    """Return the speech of a clip at one level, without the pauses; nothing where there is none.

    Shapes: x (N,) at 16 kHz -> (M,), M <= N.
    """
    mask = voice_activity.speech_mask(x, threshold, sample_rate=RATE)
    grown = np.convolve(mask, np.ones(2 * GROWN + 1, np.int64), "same") > 0 if mask.any() else mask
    spoken = x[np.repeat(grown, voice_activity.WINDOW)[: len(x)]]
    power = float(np.mean(np.square(spoken, dtype=np.float64))) if len(spoken) else 0.0
    return spoken * np.float32(np.sqrt(10 ** (LEVEL_DB / 10) / power)) if power else spoken[:0]


def power_mel(x: Audio) -> NDArray[np.float32]:
    """Return the power of each mel band and frame, not its logarithm; of a short clip with silence behind it.

    Source: resemblyzer.wav_to_mel_spectrogram, librosa.feature.melspectrogram.
    Shapes: (N,) at 16 kHz -> (T, 40), T >= 160.
    """
    x = np.pad(x, (N_FFT // 2, N_FFT // 2 + max(0, WINDOW * HOP - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(x, N_FFT)[::HOP]  # (T, 400)
    spec = np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1].astype(np.float32))
    return ((np.square(spec.real) + np.square(spec.imag)).astype(np.float32) @ _mel_filterbank()).astype(np.float32)


@cache
def _mel_filterbank() -> NDArray[np.float32]:
    """Shapes: -> (201, 40)."""
    return mel_filterbank(sample_rate=RATE, n_fft=N_FFT, n_mels=N_MELS)


def window_starts(n_frames: int) -> list[int]:
    """Return the frames at which windows begin, at most 0.4 s apart; the last window ends with the clip.

    >>> window_starts(160), window_starts(200), window_starts(230)
    ([0], [0, 40], [0, 35, 70])
    """
    rest = max(0, n_frames - WINDOW)
    return np.rint(np.linspace(0, rest, -(-rest // WINDOW_HOP) + 1)).astype(int).tolist()


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
