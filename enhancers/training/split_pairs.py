"""Training pairs of the band above 8 kHz: full-band pairs in two bands, the lower one as noisy and as enhanced."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from clean_corpus.enhancers.domains.high_band import LOW_RATE, RATE
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio


class LowBandEnhancer(Protocol):
    """What enhances a batch of waveforms at 16 kHz: (B, N), lengths (B,) -> (B, N)."""

    def __call__(self, noisy: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor: ...


class SplitPairs(Dataset):
    """Pairs of another data set at 48 kHz, split in two bands, the lower one enhanced by one of several enhancers.

    The enhancers take turns, so that what is learnt fits each of them.
    Shapes: item -> ((high (N,), low (N / 3,), low_estimate (N / 3,)), clean upper band (N,)), as `high_band.Split`.
    """

    def __init__(self, pairs: Dataset, enhancers: Sequence[LowBandEnhancer]) -> None:
        self.pairs, self.enhancers = pairs, enhancers

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[tuple[Audio, Audio, Audio], Audio]:
        noisy, clean = self.pairs[index]
        (high, low), (clean_high, _) = split(noisy), split(clean)
        enhancer = self.enhancers[index % len(self.enhancers)]
        estimate = enhancer(torch.from_numpy(low)[None], torch.tensor([len(low)]))[0].numpy()
        return (high, low, estimate), clean_high


def split(x: Audio) -> tuple[Audio, Audio]:
    """Return what the way to 16 kHz and back loses of a signal at 48 kHz, and the signal at 16 kHz.

    Shapes: (N,) -> (N,), (ceil(N / 3),).
    """
    n_low = -(-len(x) * LOW_RATE // RATE)
    low = resample(np.pad(x, (0, RATE // 100)), RATE, LOW_RATE)[:n_low]
    up = resample(low, LOW_RATE, RATE)[: len(x)]
    return x - np.pad(up, (0, len(x) - len(up))), low
