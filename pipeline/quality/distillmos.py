"""DistillMOS: how natural a clip sounds, an opinion score that a small network learned from a large one.

Torch and the package are imported by the first `DistillMos` that is made, never by this module.
"""

import hashlib
import importlib.util
import math
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
    every clip: it is computed once.

    Source: Stahl & Gamper, ICASSP 2025; distillmos.ConvTransformerSQAModel, which it equals within 1e-4.
    Shapes: (N,) samples at 16 kHz -> MOS; the level does not matter.
    """

    def __init__(self) -> None:
        import torch
        from distillmos import ConvTransformerSQAModel

        self._torch = torch
        self._network = ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False).eval()
        # tensors and plain values alone are read: no code of the file is run
        state = torch.load(_folder() / WEIGHTS, map_location="cpu", weights_only=True)
        self._network.load_state_dict(state["model"])
        with torch.inference_mode():
            self._silence = self._network.cnn(torch.zeros(1, WINDOW))

    def __call__(self, x: Audio) -> float:
        with self._torch.inference_mode():
            scores = [self._score(x[start : start + WINDOW]) for start in window_starts(x.size)]
        return 1 + 4 * float(np.mean(scores))

    def _score(self, x: Audio) -> float:
        """Return the opinion of one window, 0 to 1; shapes (N,), N <= WINDOW."""
        x = x / (np.abs(x).max(initial=0.0) + np.float32(1e-8))
        features = self._features(self._torch.from_numpy(x)[None])
        return float(self._network.transformer_pool_attn(features.permute(0, 2, 1)))

    def _features(self, x: "Tensor") -> "Tensor":
        """Return the outputs of the convolutions, those behind the end of a short clip taken from silence.

        Shapes: x (1, N), N <= WINDOW -> (1, C, 384).
        """
        heard = math.ceil((x.shape[1] + FRAME_HOP) / FRAME_HOP)  # spectrogram frames that are not silent
        own = (heard + REACH) // STRIDE + 1  # outputs that the clip reaches
        length = FRAME_HOP * (STRIDE * own + REACH)
        if length >= WINDOW:
            return self._network.cnn(self._padded(x, WINDOW))
        features = self._network.cnn(self._padded(x, length))
        return self._torch.cat((features[:, :, :own], self._silence[:, :, own:]), dim=2)

    def _padded(self, x: "Tensor", length: int) -> "Tensor":
        return self._torch.nn.functional.pad(x, (0, length - x.shape[1]))


def window_starts(n_samples: int) -> list[int]:
    """Return the samples at which the package's windows begin.

    >>> window_starts(5), window_starts(WINDOW), window_starts(WINDOW + 16_002)
    ([0], [0], [0, 8001, 16002])
    """
    rest = max(0, n_samples - WINDOW)
    hops = math.ceil(rest / MAX_HOP) + 1
    return [int(share * rest) for share in np.linspace(0, 1, hops)]
