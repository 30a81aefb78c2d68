"""FullBand: a small network that says what is to be kept above 7 kHz, from what a 16 kHz enhancer did below."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.models.lean_crn import reverse_frames, reversed_order, run_lstm

LOW_BANDS = 20
HIGH_BANDS = 34
BINS_PER_BAND = 16
HIGH_BINS = HIGH_BANDS * BINS_PER_BAND + 1
"""Bins of 31.25 Hz from 7 to 24 kHz, both included."""


class FullBand(nn.Module):
    """Recurrent network that gives each bin of the upper band a gain of at most 1.

    Recurrences along the frames see the energies of bands from 0 to 24 kHz and the gains that another network gave the
    lower of them, and give a gain for each band of 500 Hz above; two small convolutions, which see the bins of the
    neighbouring frames, sharpen it to bins. With `causal` no frame depends on a later one.

    Source: own.
    Size: 281,747 parameters, 206,643 with `causal` and `hidden` 112 (asserted in tests).
    Shapes: bands (B, 1, T, 74), logarithmic: `LOW_BANDS` noisy energies, as many gains, `HIGH_BANDS` noisy energies;
    bins (B, 1, T, 545), logarithmic noisy energies -> (B, 1, T, 545) in [0, 1].
    Raises: ValueError if there are other bands or bins.
    """

    def __init__(self, *, causal: bool = False, width: int = 96, hidden: int = 80, detail: int = 8) -> None:
        super().__init__()
        self.causal, self.attends = causal, not causal
        self.inward = nn.Linear(2 * LOW_BANDS + HIGH_BANDS, width)
        sizes = (width, hidden if causal else 2 * hidden)
        self.forth = nn.ModuleList(nn.LSTM(size, hidden) for size in sizes)
        self.back = nn.ModuleList(() if causal else (nn.LSTM(size, hidden) for size in sizes))
        self.outward = nn.Linear(sizes[1], HIGH_BANDS)
        self.near = nn.Conv2d(2, detail, (3, 5), padding=(0, 2))
        self.sharpen = nn.Conv2d(detail, 1, (1, 3), padding=(0, 1))
        nn.init.zeros_(self.sharpen.weight)  # an untrained network has the same gain in all bins of a band
        nn.init.zeros_(self.sharpen.bias)
        nn.init.constant_(self.outward.bias, 2.0)  # and passes most of its input

    def forward(
        self, bands: Tensor, bins: Tensor, memory: Memory | None = None, *, frames: Tensor | None = None
    ) -> Tensor:
        if bands.shape[-1] != self.inward.in_features or bins.shape[-1] != HIGH_BINS:
            raise ValueError(
                f"{bands.shape[-1]} bands and {bins.shape[-1]} bins: expected {self.inward.in_features} and {HIGH_BINS}"
            )
        memory = memory or Memory()
        logits = self._band_logits(bands.squeeze(1), memory, reversed_order(frames, bands.shape[2]))
        logits = _to_bins(logits).unsqueeze(1)
        near = torch.cat((bins, logits), 1)
        if not self.causal and frames is not None:  # behind the last frame lies nothing, as in a batch of its own
            near = near * (torch.arange(near.shape[2], device=near.device) < frames[:, None])[:, None, :, None]
        near = memory.past(near, 2) if self.causal else functional.pad(near, (0, 0, 1, 1))
        return torch.sigmoid(logits + self.sharpen(functional.silu(self.near(near))))

    def _band_logits(self, bands: Tensor, memory: Memory, order: Tensor | None) -> Tensor:
        """Return the logits of the bands' gains, (B, T, K) -> (B, T, HIGH_BANDS)."""
        x = functional.silu(self.inward(bands)).transpose(0, 1)  # (T, B, C)
        for number, forth in enumerate(self.forth):
            along = run_lstm(forth, x, memory)
            if not self.causal:
                flipped = reverse_frames(x.unsqueeze(2), order).squeeze(2)
                back, _ = self.back[number](flipped)
                along = torch.cat((along, reverse_frames(back.unsqueeze(2), order).squeeze(2)), -1)
            x = along
        return self.outward(x).transpose(0, 1)


def _to_bins(bands: Tensor) -> Tensor:
    """Interpolate values of bands to their bins, (B, T, HIGH_BANDS) -> (B, T, HIGH_BINS)."""
    bins = functional.interpolate(bands, scale_factor=float(BINS_PER_BAND), mode="linear")
    return torch.cat((bins, bins[..., -1:]), -1)
