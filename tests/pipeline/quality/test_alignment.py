"""Clips laid against each other: wrong bits are counted where both are audible, and the best alignments are tried."""

from tempfile import TemporaryFile

import numpy as np
import pytest

from clean_corpus.pipeline.quality.alignment import MIN_FRAMES, STRETCH, Block, similar_clips, worst_stretch
from clean_corpus.pipeline.quality.fingerprint_file import FingerprintFile


def alike(clips, alignments, max_bit_error=0.25):
    """(bit error, earlier, later, offset) of clips that begin to overlap at these positions of the file."""
    with TemporaryFile() as file:
        held = FingerprintFile(file)
        for codes in clips:
            held.add(codes)
        block = Block(held, 0, len(clips))
        at_a, at_b = np.array(sorted(alignments)).T
        return list(similar_clips(block, block, at_a, at_b, max_bit_error))


@pytest.fixture
def codes():
    return np.random.default_rng(0).integers(1, 2**32, 100, np.uint32)


def test_the_error_is_that_of_the_overlap(codes):
    wrong = codes.copy()
    wrong[:50] ^= np.uint32(0b11)  # 2 of 32 bits in half of the frames
    assert alike([codes, wrong], [(0, 100)]) == [(1 / 32, 0, 1, 0)]
    assert alike([codes, codes[10:]], [(10, 100)]) == [(0.0, 0, 1, -10)]
    assert alike([codes[10:], codes], [(0, 100)]) == [(0.0, 0, 1, 10)]
    assert alike([codes, codes[10:]], [(0, 100)]) == []  # at another offset: half of the bits


def test_frames_that_are_silent_in_either_clip_do_not_count(codes):
    quiet = codes.copy()
    quiet[40:60] = 0
    assert alike([codes, quiet], [(0, 100)]) == [(0.0, 0, 1, 0)]


def test_too_few_frames_prove_nothing(codes):
    assert alike([codes[:MIN_FRAMES]] * 2, [(0, MIN_FRAMES)]) == [(0.0, 0, 1, 0)]
    assert alike([codes[: MIN_FRAMES - 1]] * 2, [(0, MIN_FRAMES - 1)]) == []


def test_the_alignments_with_most_votes_are_tried(codes):
    votes = {(0, 100): 1, (0, 101): 2, (0, 102): 2, (0, 103): 2}
    once = [alignment for alignment, count in votes.items() for _ in range(count)]
    assert alike([codes, codes], once) == []  # three others have more
    assert alike([codes, codes], [*once, (0, 100)]) == [(0.0, 0, 1, 0)]  # of equal ones the first


def test_the_worst_stretch_is_a_word_of_two_clips_that_are_else_alike(codes):
    other = codes.copy()
    other[40 : 40 + STRETCH] ^= np.uint32(0xFFFF)  # half of its bits
    assert worst_stretch(codes, codes, 0) == 0.0
    assert (
        worst_stretch(codes, other, 0) == worst_stretch(codes[10:], other, 10) == worst_stretch(codes, other[10:], -10)
    )
    assert worst_stretch(codes, other, 0) == 0.5 and worst_stretch(codes[:56], other[:56], 0) == 0.25
    assert worst_stretch(codes[: STRETCH - 1], ~codes[: STRETCH - 1], 0) == 0.0
    quiet = codes.copy()
    quiet[45 : 45 + STRETCH] = 0
    assert worst_stretch(quiet, other, 0) == pytest.approx(0.5 * 5 / 24), "three quarters are audible"
