"""DNSMOS of many clips at a time on a device: the scores of `Dnsmos` within 0.001."""

from collections.abc import Callable, Sequence

import numpy as np

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import device as devices
from clean_corpus.pipeline.quality import dnsmos
from clean_corpus.pipeline.quality.batched_trunk import BatchedTrunk


class BatchedDnsmos:
    """Compute P.835 and P.808 opinion scores of clips side by side, by networks of torch.

    Shapes: clips (N_i,) samples at 16 kHz in [-1, 1] -> score name -> MOS of each.
    """

    def __init__(self, windows: dnsmos.Windows = "whole", *, device: str) -> None:
        self._windows = windows
        self._p835, self._p808 = (BatchedTrunk(*dnsmos.parts(ruler), device=device) for ruler in dnsmos.NETWORKS)

    def hear(self, x: Audio) -> dnsmos.Heard:
        """Return what the networks hear of a clip, computed now."""
        found = dnsmos.heard(x, self._windows)
        return dnsmos.Heard(list(found.stretches), found.share)

    def start(self, clips: Sequence[dnsmos.Heard]) -> Callable[[], list[dict[str, float]]]:
        """Hand clips to the device; return what waits for their scores."""
        stretches = [stretch for clip in clips for stretch in clip.stretches]
        raw = devices.fetched(self._p835([speech for speech, _ in stretches]))
        p808 = devices.fetched(self._p808([band for _, bands in stretches for band in bands]))
        shares = [clip.share for clip in clips]

        def wait() -> list[dict[str, float]]:
            ends = np.cumsum([len(share) for share in shares])[:-1]
            of_clips = zip(shares, np.split(raw(), ends), np.split(p808()[:, 0], ends), strict=True)
            return [dnsmos.opinions(*of_clip) for of_clip in of_clips]

        return wait
