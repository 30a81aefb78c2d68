"""CGCRN followed by a dual-path network that sees past and future, a network of our own."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.masks import level_gain, limited, post_filter_gain, quotient
from clean_corpus.enhancers.domains.spectral import CompressedComplex, Stft
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.layers import DownConv, Memory, Normalised, UpConv, expect, halved

FIRST = CompressedComplex(Stft(320, 160, "hamming"))
SECOND = CompressedComplex(Stft(512, 256, "hamming"))
"""Domains of the two networks: bins of 31 Hz resolve the harmonics of a deep voice, bins of 50 Hz do not."""


class CGCRNDualPath(nn.Module):
    """The complex CGCRN and a second network that corrects its estimate, with the whole signal in view.

    The second network sees noisy spectrum and first estimate in longer frames: convolutions to fewer bins, then blocks
    of recurrent layers across the bins of a frame and along the frames of a bin, in both directions, then convolutions
    back. Before training it adds nothing to the first estimate. No bin is raised by more than `max_gain`. Only in use,
    not in training, the post-filter of `cgcrn-refined` follows and the level of the speech in the input is restored.

    Source: own; the first network is that of paper [000] with two channels in and out (SYSTEMS.md section 2.4, `crm`),
    the blocks are those of Luo et al. 2020 (arXiv:1910.06379), placed between convolutions as by Le et al. 2021
    (arXiv:2107.05429).
    Departs: features are compressed spectra, as `domains.spectral.CompressedComplex` makes them.
    Size: 4,068,016 parameters, 303,514 of them the second network's (asserted in tests).
    Shapes: features (B, 2, T, 257) as `SECOND` makes them, of which frames (B,) are valid -> (B, 2, T, 257), real and
    imaginary part of a mask.
    Raises: ValueError if the features have other channels or bins.
    """

    attends = True

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (24, 48, 64),
        blocks: int = 3,
        across: int = 32,
        along: int = 64,
        max_gain: float = 2.0,
        post_filter: float = 0.002,
    ) -> None:
        super().__init__()
        self.max_gain, self.post_filter = max_gain, post_filter
        self.first = CGCRN(n_freq=FIRST.stft.n_freq, in_channels=2, out_channels=2)
        self.second = Correction(SECOND.stft.n_freq, channels, blocks, across, along)

    @property
    def normalised(self) -> Normalised:
        """The convolutions that a normalisation follows at once."""
        return [*self.first.normalised, *self.second.normalised]

    def forward(self, features: Tensor, *, frames: Tensor | None = None) -> Tensor:
        expect(features, channels=2, n_freq=SECOND.stft.n_freq)
        if frames is None:
            frames = torch.full((features.shape[0],), features.shape[2], device=features.device)
        noisy = SECOND.spectrum(features)
        estimate = self._first_estimate(noisy, frames)
        first = limited(quotient(estimate, noisy), self.max_gain)
        correction = self.second(torch.cat((features, SECOND.features(estimate)), 1), frames)
        mask = limited(first + correction.float(), self.max_gain)
        if self.training:
            return mask
        mask = mask * post_filter_gain(mask, self.post_filter)
        return mask * level_gain(SECOND.estimate(mask, noisy), noisy).unsqueeze(1)

    def _first_estimate(self, noisy: Tensor, frames: Tensor) -> Tensor:
        """Return the first network's estimate of the signal up to the centre of its last frame.

        Shapes: (B, T, F) complex -> the same.
        """
        hop_length = SECOND.stft.hop_length
        n_samples = (noisy.shape[1] - 1) * hop_length
        spec = FIRST.stft(SECOND.stft.inverse(noisy, n_samples))
        mask = limited(self.first(FIRST.features(spec)).float(), self.max_gain)
        inside = torch.arange(n_samples, device=frames.device) < (frames[:, None] - 1) * hop_length
        return SECOND.stft(FIRST.waveform(mask, spec, n_samples) * inside)


class Correction(nn.Module):
    """Network that turns noisy spectrum and first estimate, both compressed, into a correction of the mask.

    Shapes: (B, 4, T, n_freq), frames (B,) -> (B, 2, T, n_freq).
    """

    def __init__(self, n_freq: int, channels: tuple[int, ...], blocks: int, across: int, along: int) -> None:
        super().__init__()
        sizes = halved(n_freq, len(channels))
        self.encoder = nn.ModuleList(DownConv(a, b) for a, b in pairwise((4, *channels)))
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        self.blocks = nn.ModuleList(DualPath(channels[-1], across, along) for _ in range(blocks))
        self.skips = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)
        outs = (2, *channels[:-1])
        self.decoder = nn.ModuleList(
            UpConv(c, o, narrow=narrow, wide=wide)
            for c, o, wide, narrow in zip(channels, outs, sizes[:-1], sizes[1:], strict=True)
        )
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs[1:])
        self.activation = nn.LeakyReLU(0.1)
        nn.init.zeros_(self.decoder[0].conv.weight)
        nn.init.zeros_(self.decoder[0].conv.bias)

    @property
    def normalised(self) -> Normalised:
        """The convolutions that a normalisation follows at once."""
        return [
            *((down.conv, self.encoder_norms, i) for i, down in enumerate(self.encoder)),
            *((up.conv, self.decoder_norms, i) for i, up in enumerate(self.decoder[1:])),
        ]

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        memory, encoded = Memory(), []
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = self.activation(norm(conv(x, memory)))
            encoded.append(x)
        x = x.permute(0, 2, 3, 1).contiguous()  # (B, T, F, C), contiguous: sums keep its layout
        order = reversal(frames, x.shape[1])
        for block in self.blocks:
            x = block(x, order)
        x = x.permute(0, 3, 1, 2).contiguous()
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](x + self.skips[level](encoded[level]), memory)
            if level:
                x = self.activation(self.decoder_norms[level - 1](x))
        return x


class DualPath(nn.Module):
    """Residual recurrent layers, first across the bins of each frame, then along the frames of each bin.

    Source: Luo et al. 2020 (arXiv:1910.06379), section 2.1.
    Departs: GRUs instead of LSTMs; normalisation stands before each layer and spans the channels only, so that padding
    does not enter it.
    Shapes: x (B, T, F, C), order (B, T) as `reversal` gives it -> (B, T, F, C).
    """

    def __init__(self, channels: int, across: int, along: int) -> None:
        super().__init__()
        self.across_norm, self.along_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.across = nn.GRU(channels, across, batch_first=True, bidirectional=True)
        self.across_out = nn.Linear(2 * across, channels)
        # along the frames, forwards and backwards; the names are those of shipped weights
        self.forth = nn.GRU(channels, along, batch_first=True)
        self.back = nn.GRU(channels, along, batch_first=True)
        self.along_out = nn.Linear(2 * along, channels)

    def forward(self, x: Tensor, order: Tensor) -> Tensor:
        batch, n_bins = x.shape[0], x.shape[2]
        across, _ = self.across(self.across_norm(x).flatten(0, 1))
        x = x + self.across_out(across).unflatten(0, (batch, -1))
        bins = self.along_norm(x).transpose(1, 2).flatten(0, 1)  # (B * F, T, C)
        forward, _ = self.forth(bins)
        backward, _ = self.back(_reordered(bins, order))
        along = self.along_out(torch.cat((forward, _reordered(backward, order)), -1))
        return x + along.unflatten(0, (batch, n_bins)).transpose(1, 2)


def reversal(frames: Tensor, n_frames: int) -> Tensor:
    """Return indices that reverse each signal's valid frames and leave its padding after them.

    Shapes: frames (B,) -> (B, n_frames).

    >>> reversal(torch.tensor([3, 2]), 3).tolist()
    [[2, 1, 0], [1, 0, 2]]
    """
    at = torch.arange(n_frames, device=frames.device)
    return torch.where(at < frames[:, None], frames[:, None] - 1 - at, at)


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    """Return the frames of x in another order, that of its signal; rows of a signal lie together.

    Shapes: x (B * F, T, C), order (B, T) -> (B * F, T, C).
    """
    if len(order) == 1:  # whole rows are copied
        return x.index_select(1, order[0])
    return x.gather(1, order.repeat_interleave(len(x) // len(order), 0).unsqueeze(-1).expand_as(x))
