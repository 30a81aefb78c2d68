"""Speech probabilities are the network's own, however the stream is cut; their hysteresis carries its state."""

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime

from clean_corpus.pipeline.audio.voice_activity import CONTEXT, WINDOW, SpeechDetector, hysteresis

RATE = 16000


def test_probabilities_are_those_of_the_window_by_window_model(voice):
    """The slow reference is silero-vad's streaming model, one window a call."""
    x = voice[: 100 * WINDOW + 100]
    path = Path(importlib.util.find_spec("silero_vad").submodule_search_locations[0])
    slow = onnxruntime.InferenceSession(str(path / "data" / "silero_vad.onnx"), providers=["CPUExecutionProvider"])
    padded = np.pad(x, (CONTEXT, -len(x) % WINDOW))
    state, expected = np.zeros((2, 1, 128), np.float32), []
    for i in range(0, len(padded) - CONTEXT, WINDOW):
        window = padded[None, i : i + CONTEXT + WINDOW]
        output, state = slow.run(None, {"input": window, "state": state, "sr": np.array(RATE, np.int64)})
        expected.append(output[0, 0])
    detector = SpeechDetector(sample_rate=RATE)
    for _ in range(2):  # the second time after the reset that flush does
        found = [
            *(detector.probabilities(block) for block in (x[i : i + 700] for i in range(0, len(x), 700))),
            detector.flush(),
        ]
        # equal but for the order in which a processor sums
        np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-4)


def test_hysteresis_carries_its_state():
    p = np.float32([0.4, 0.5, 0.4, 0.36, 0.34, 0.4, 0.5])
    whole = hysteresis(p, 0.5)
    assert whole.tolist() == [False, True, True, True, False, False, True]
    for i in range(1, len(p)):
        assert hysteresis(p[i:], 0.5, speaking=bool(whole[i - 1])).tolist() == whole[i:].tolist()
