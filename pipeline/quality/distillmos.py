"""DistillMOS: how natural a clip sounds, an opinion score that a small network learned from a large one.

Torch and the package are imported by the first `DistillMos` that is made, never by this module.
"""

import hashlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clean_corpus.pipeline.core.types import Audio

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE, EXTRA = "distillmos", "distillmos"
WEIGHTS = "weights/distill_mos_v7.pt"
RATE = 16000  # Hz
CEILING = 5.0  # 1 + 4 x a sigmoid

WINDOW = 122_880  # samples that the network hears at once, 7.68 s
MAX_HOP = 16_000  # samples from window to window, at most
FRAME_HOP = 160  # of its spectrogram
STRIDE = 2  # spectrogram frames per output of its convolutions
WINDOWS_AT_ONCE = 12  # on a device, where their activations take 0.8 GB
REACH = 8  # spectrogram frames, even, beyond those that two of its convolutions' outputs have in common


def ruler() -> str:
    """Return what measures DistillMOS: package, version, weights and their hash."""
    path = _folder() / WEIGHTS
    return f"{PACKAGE} {version(PACKAGE)} {path.name} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def _folder() -> Path:
    package = importlib.util.find_spec(PACKAGE)
    return Path(package.submodule_search_locations[0])


class DistillMos:
    """Predict the mean opinion of listeners on a clip, 1 to 5: the mean over windows of 7.68 s, at most 1 s apart.

    A shorter clip is followed by silence up to the end of its window, whose part of the convolutions is the same for
    every clip: it is computed once. Clips go one by one, or side by side on a device.

    Source: Stahl & Gamper, ICASSP 2025; distillmos.ConvTransformerSQAModel, which it equals within 1e-4.
    Shapes: (N,) samples at 16 kHz -> MOS; the level does not matter.
    """

    def __init__(self, device: str = "cpu") -> None:
        import torch
        from distillmos import ConvTransformerSQAModel

        self._torch, self._device = torch, device
        self._network = ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False).eval()
        # tensors and plain values alone are read: no code of the file is run
        state = torch.load(_folder() / WEIGHTS, map_location="cpu", weights_only=True)
        self._network.load_state_dict(state["model"])
        self._network.to(device)
        with torch.inference_mode():
            self._silence = self._network.cnn(torch.zeros(1, WINDOW, device=device))

    def __call__(self, x: Audio) -> float:
        with self._torch.inference_mode():
            scores = [float(self._scores([window])) for window in _windows(x)]
        return 1 + 4 * float(np.mean(scores))

    def start(self, clips: Sequence[Audio]) -> Callable[[], list[float]]:
        """Hand clips to the device, windows of like length side by side; return what waits for their opinions."""
        from clean_corpus.pipeline.quality import device as devices

        of_clips = [list(_windows(x)) for x in clips]
        windows = [window for of_clip in of_clips for window in of_clip]
        order = sorted(range(len(windows)), key=lambda i: (len(windows[i]), i))
        at_once = [order[i : i + WINDOWS_AT_ONCE] for i in range(0, len(order), WINDOWS_AT_ONCE)]
        with devices.full_precision():
            scores = self._torch.cat([self._scores([windows[i] for i in some]) for some in at_once])
        waiting = devices.fetched(scores)

        def wait() -> list[float]:
            found = waiting()[np.argsort(order)]
            ends = np.cumsum([len(of_clip) for of_clip in of_clips])[:-1]
            return [1 + 4 * float(np.mean(of_clip)) for of_clip in np.split(found, ends)]

        return wait

    def _scores(self, windows: Sequence[Audio]) -> "Tensor":
        """Return the opinions of some windows, 0 to 1; shapes (N_i,), N_i <= WINDOW -> (B,)."""
        features = self._features(windows)
        return self._network.transformer_pool_attn(features.permute(0, 2, 1)).flatten()

    def _features(self, windows: Sequence[Audio]) -> "Tensor":
        """Return the outputs of the convolutions, those behind the end of a short clip taken from silence.

        Shapes: (N_i,), N_i <= WINDOW -> (B, C, 384).
        """
        from clean_corpus.pipeline.quality import device as devices

        heard = [math.ceil((len(x) + FRAME_HOP) / FRAME_HOP) for x in windows]  # spectrogram frames that are not silent
        own = [(frames + REACH) // STRIDE + 1 for frames in heard]  # outputs that each window reaches
        length = min(WINDOW, FRAME_HOP * (STRIDE * max(own) + REACH))
        features = self._network.cnn(devices.padded(windows, self._device, length))
        is_own = self._torch.arange(features.shape[2]) < self._torch.tensor(own)[:, None]
        silence = self._silence[:, :, : features.shape[2]]
        found = self._torch.where(is_own[:, None].to(self._device), features, silence)
        rest = self._silence[:, :, features.shape[2] :].expand(len(windows), -1, -1)
        return self._torch.cat((found, rest), dim=2)


def _windows(x: Audio) -> Iterator[Audio]:
    """Yield the windows of a clip, each brought to full scale; shapes: (N,) -> (N_i,), N_i <= WINDOW."""
    for start in window_starts(x.size):
        window = x[start : start + WINDOW]
        yield window / (np.abs(window).max(initial=0.0) + np.float32(1e-8))


def window_starts(n_samples: int) -> list[int]:
    """Return the samples at which the package's windows begin.

    >>> window_starts(5), window_starts(WINDOW), window_starts(WINDOW + 16_002)
    ([0], [0], [0, 8001, 16002])
    """
    rest = max(0, n_samples - WINDOW)
    hops = math.ceil(rest / MAX_HOP) + 1
    return [int(share * rest) for share in np.linspace(0, 1, hops)]
