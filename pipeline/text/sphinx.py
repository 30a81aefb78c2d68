"""The decoder of PocketSphinx with the English models in its wheel."""

from typing import Any

import numpy as np

from clean_corpus.pipeline.core.types import Audio

PEAK = 0.6  # of full scale: its features do not depend on level, but 16 bits should be used


def sphinx_decoder(*, general: bool) -> Any:
    """Return a decoder of English; `general` with its language model, else one that waits for words to look for.

    All states are evaluated, so the score of a word is how much likelier the best state of each frame is.
    """
    from pocketsphinx import Decoder

    if general:
        return Decoder(loglevel="FATAL", cmn="batch")
    return Decoder(loglevel="FATAL", cmn="batch", lm=None, compallsen=True)


def decode(decoder: Any, x: Audio) -> None:
    """Run a decoder over one utterance, which leaves no trace in the next.

    Shapes: x (N,) samples at 16 kHz.
    """
    decoder.reinit_feat()  # else the mean of its features goes on from utterance to utterance
    decoder.start_utt()
    decoder.process_raw(pcm(x), full_utt=True)
    decoder.end_utt()


def pcm(x: Audio) -> bytes:
    """Return samples as the decoder takes them: 16 bits, with a peak of 0.6.

    Shapes: x (N,) samples at 16 kHz.

    >>> np.frombuffer(pcm(np.float32([0.1, -0.05])), np.int16).tolist()
    [19660, -9830]
    """
    peak = float(np.abs(x).max(initial=0.0))
    return (x * np.float32(PEAK * 32767 / peak if peak else 0.0)).astype(np.int16).tobytes()
