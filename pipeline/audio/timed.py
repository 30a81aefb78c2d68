"""Recordings cut by a plan: listened to once, as a stream, and cut in a second stream once the plan is made."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

import numpy as np

from clean_corpus.pipeline.audio.segment import BLOCK_S, Loudened, Utterance, equal_blocks, trimmed
from clean_corpus.pipeline.audio.timed_plan import Heard, Piece
from clean_corpus.pipeline.audio.voice_activity import WINDOW_S, SpeechDetector, hysteresis
from clean_corpus.pipeline.core.config import SegmentConfig
from clean_corpus.pipeline.core.types import Audio


def listen(blocks: Iterable[Audio], config: SegmentConfig, *, sample_rate: int, loudened: Loudened) -> Heard:
    """Return what is heard in a recording, 35 MB for a day of it.

    Shapes: blocks (N_i,) each, in turn, at sample_rate.
    """
    hop = WINDOW_S * sample_rate
    detector = SpeechDetector(sample_rate=sample_rate)
    probabilities, power, start = [np.zeros(0, np.float32)], [np.zeros(0)], 0
    for block in equal_blocks(blocks, int(BLOCK_S * sample_rate)):  # a whole number of windows at every rate
        probabilities.append(detector.probabilities(loudened(start, block)))
        edges = [int(window * hop) for window in range(ceil(len(block) / hop))]
        power.append(np.add.reduceat(np.square(block, dtype=np.float64), edges) / hop)
        start += len(block)
    found = np.concatenate((*probabilities, detector.flush()))
    energy = np.concatenate(power)[: len(found)]
    speech = hysteresis(found, config.speech_threshold)
    return Heard(speech, found, np.pad(energy, (0, len(found) - len(energy))))


def cut(
    blocks: Iterable[Audio], pieces: Sequence[Piece], heard: Heard, config: SegmentConfig, *, sample_rate: int
) -> Iterator[tuple[Piece, Utterance]]:
    """Yield each piece with its utterance, trimmed to its speech; one without speech is as long as its piece.

    The pieces overlap where their texts do. In memory are the piece and a block.
    Shapes: blocks (N_i,) each, in turn, at sample_rate.
    """
    hop = WINDOW_S * sample_rate
    remaining, held, held_from = iter(blocks), np.zeros(0, np.float32), 0
    needed_from = np.minimum.accumulate([piece.low for piece in reversed(pieces)])[::-1]
    for number, piece in enumerate(pieces):
        first, last = int(piece.low * hop), int(piece.high * hop)
        while held_from + len(held) < last and (block := next(remaining, None)) is not None:
            keep = min(int(needed_from[number] * hop), held_from + len(held))
            held = np.concatenate((held[max(0, keep - held_from) :], block))
            held_from = max(keep, held_from)
        stretch = held[max(0, first - held_from) : max(0, last - held_from)]
        speech = heard.speech[piece.low : piece.high].copy()
        speech[: piece.start - piece.low] = speech[piece.end - piece.low :] = False
        if speech.any() and len(stretch):
            yield piece, trimmed(stretch, speech, config, sample_rate=sample_rate, start=first)
        elif len(stretch):
            yield piece, Utterance(first, stretch.copy(), 0.0, len(stretch), 0)
    for _ in remaining:  # for damage further on, and what is measured on the way
        pass
