"""Votes of shared codes: where the overlap of two clips begins in each of them."""

from tempfile import TemporaryFile

import numpy as np

from clean_corpus.pipeline.quality.fingerprint_file import FingerprintFile
from clean_corpus.pipeline.quality.shared_codes import MAX_NEXT, votes


def votes_of(*clips: list[int]) -> list[tuple[int, int]]:
    with TemporaryFile() as file:
        held = FingerprintFile(file)
        for codes in clips:
            held.add(np.uint32(codes))
        return sorted(map(tuple, np.concatenate(list(votes(held)), axis=1).T.tolist()))


def test_each_shared_code_is_a_vote_for_its_alignment():
    # the second clip is the first one from its second frame on; positions count from the beginning of the file
    assert votes_of([1, 2, 3, 4, 5], [2, 3, 4, 5]) == [(1, 5)] * 4
    assert votes_of([1, 2, 3], [4, 5, 6]) == []


def test_silence_runs_and_codes_of_the_same_clip_do_not_vote():
    assert votes_of([0, 0, 7, 7, 7], [0, 0, 7, 7, 7]) == [(0, 5)]
    assert votes_of([1, 2, 1, 2], [3, 4, 5, 6]) == []


def test_an_overlap_that_is_too_short_for_either_clip_does_not_vote():
    assert votes_of([1, 2, 3, 4, 5, 6, 7, 8], [8, 11, 12, 13, 14, 15, 16, 17]) == []


def test_a_common_code_is_followed_through_the_next_clips_alone():
    clips = [[9]] * (MAX_NEXT + 4)
    assert len(votes_of(*([9, 10 + i] for i in range(len(clips))))) == 4 * MAX_NEXT + MAX_NEXT * (MAX_NEXT - 1) // 2
