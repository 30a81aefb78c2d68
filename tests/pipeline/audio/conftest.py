"""A voice for the tests of this folder."""

import numpy as np
import pytest
import soxr

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.demo.speakers import speak

RATE = 16000


@pytest.fixture(scope="module")
def voice() -> Audio:
    """One spoken sentence of 4 to 8 s, without the silence around it."""
    text = "A sudden breeze carried the yellow leaves along the river and over the old stone bridge"
    spoken, spoken_hz = speak(text, voice="en-us", rate_wpm=175)
    x = soxr.resample(spoken, spoken_hz, RATE)
    loud = np.flatnonzero(np.abs(x) > 1e-3)
    return x[loud[0] : loud[-1] + 1]
