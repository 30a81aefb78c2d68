"""Batches that cannot be enhanced are refused with the values that disagree."""

import pytest
import torch

from clean_corpus.enhancers.serving.batches import check_batch


@pytest.mark.parametrize(
    ("waves", "lengths", "message"),
    [
        (torch.zeros(1, 8), [9], "length 9 exceeds the batch's 8"),
        (torch.full((1, 8), torch.nan), [8], "NaN"),
        (torch.full((1, 8), torch.inf), [8], "infinite"),
        (torch.zeros(8), [8], r"expected waveforms \(B, N\)"),
        (torch.zeros(0, 8), [], r"expected waveforms \(B, N\)"),
        (torch.zeros(2, 8), [8], r"2 waveforms but lengths of shape \(1,\)"),
    ],
)
def test_bad_batches_are_refused(waves, lengths, message):
    with pytest.raises(ValueError, match=message):
        check_batch(waves, torch.tensor(lengths, dtype=torch.int64))


def test_a_good_batch_passes():
    check_batch(torch.zeros(2, 8), torch.tensor([8, 0]))
