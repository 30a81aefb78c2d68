"""Voice activity: the speech probability of each window of a stream, and the windows that count as speech."""

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.resample import ResampledStream
from clean_corpus.pipeline.core.types import Audio

VAD_VERSION = f"silero-vad {importlib.metadata.version('silero-vad')}"
VAD_RATE = 16000  # Hz
WINDOW = 512  # samples at VAD_RATE
WINDOW_S = WINDOW / VAD_RATE
CONTEXT = 64  # samples of the window before that the network also sees
HYSTERESIS = 0.15  # speech ends this far below the probability at which it begins, as in silero-vad


@cache
def _session() -> onnxruntime.InferenceSession:
    # not through `import silero_vad`, which loads torch
    package = importlib.util.find_spec("silero_vad")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # the model file carries unused initialisers and a warning for each
    model = Path(package.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class SpeechDetector:
    """Speech probability of each 32 ms window of a stream; the network's state is carried from call to call.

    Source: silero-vad, sequence model, bit-equal to its window-by-window model.
    """

    def __init__(self, *, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next block begins another one."""
        self._hidden = self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._resampler = None
        if self.sample_rate != VAD_RATE:
            self._resampler = ResampledStream(self.sample_rate, VAD_RATE, quality="MQ")

    def probabilities(self, block: Audio) -> NDArray[np.float32]:
        """Return the probabilities of the windows that a block completes; samples left over wait for the next call.

        Shapes: block (N,) at sample_rate -> (T,) in [0, 1].
        """
        return self._detect(block if self._resampler is None else self._resampler.push(block))

    def flush(self) -> NDArray[np.float32]:
        """Return the probability of the last, incomplete window, its missing samples taken as zeros; then reset.

        Shapes: -> (T,), empty if no sample is left.
        """
        tail = np.zeros(0, np.float32) if self._resampler is None else self._resampler.flush()
        missing = -(len(self._rest) + len(tail)) % WINDOW
        probabilities = self._detect(np.concatenate((tail, np.zeros(missing, np.float32))))
        self.reset()
        return probabilities

    def _detect(self, x: Audio) -> NDArray[np.float32]:
        x = np.concatenate((self._rest, x))
        n_windows = len(x) // WINDOW
        self._rest = x[n_windows * WINDOW :]
        if n_windows == 0:
            return np.zeros(0, np.float32)
        x = np.concatenate((self._context, x[: n_windows * WINDOW]))
        self._context = x[-CONTEXT:]
        windows = np.lib.stride_tricks.sliding_window_view(x, CONTEXT + WINDOW)[::WINDOW]  # (T, 576)
        probabilities, self._hidden, self._cell = _session().run(
            ["speech_probs", "hn", "cn"],
            {"input": np.ascontiguousarray(windows), "h": self._hidden, "c": self._cell},
        )
        return probabilities


def hysteresis(probabilities: NDArray[np.float32], threshold: float, *, speaking: bool = False) -> NDArray[np.bool_]:
    """Return a mask that is true from the window that reaches `threshold` to the one that falls below threshold - 0.15.

    Shapes: probabilities (T,) -> (T,); `speaking` is the state before the first.

    >>> hysteresis(np.float32([0.4, 0.6, 0.4, 0.3, 0.4]), 0.5).tolist()
    [False, True, True, False, False]
    """
    begins = probabilities >= threshold
    decided = np.concatenate(([True], begins | (probabilities < threshold - HYSTERESIS)))
    last_decided = np.maximum.accumulate(np.where(decided, np.arange(len(decided)), 0))
    return np.concatenate(([speaking], begins))[last_decided[1:]]


def speech_mask(x: Audio, threshold: float, *, sample_rate: int) -> NDArray[np.bool_]:
    """Return which 32 ms windows of a clip are speech; the last window may reach beyond its end.

    Shapes: x (N,) -> (ceil(duration / 32 ms),).

    >>> speech_mask(np.zeros(1024, np.float32), 0.5, sample_rate=16000).tolist()
    [False, False]
    """
    detector = SpeechDetector(sample_rate=sample_rate)
    return hysteresis(np.concatenate((detector.probabilities(x), detector.flush())), threshold)


def speech_s(mask: NDArray[np.bool_]) -> float:
    """Return the seconds of speech in a mask.

    >>> speech_s(np.array([True, False, True]))
    0.064
    """
    return int(np.count_nonzero(mask)) * WINDOW / VAD_RATE
