"""DNN-IRM+DNN-NMF-Sep: a ratio mask, then activations of NMF bases, baseline of paper [002]."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.separation import Separated, source_magnitudes, wiener_gains
from clean_corpus.enhancers.domains.spectral import ForwardPass
from clean_corpus.enhancers.models import nmf
from clean_corpus.enhancers.models.dae import Dense
from clean_corpus.enhancers.models.dnn_irm import DNNIRM
from clean_corpus.enhancers.models.layers import Memory, flatten_bins, unflatten_bins


class DNNNMF(nn.Module):
    """Two-stage network: a ratio mask separates speech and noise, a DNN estimates activations of the NMF bases of each.

    The stages are trained separately: no gradient of the second reaches the first. Bases are buffers, flat before
    they are fitted.

    Source: paper [002], section II (DNN-based approximation of NMF) and section IV; SYSTEMS.md section 4.4.
    Size: 7,573,961 parameters (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq) -> Separated, whose codes are activations (B, 2, T, n_bases).
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    bases: Tensor  # (2, n_bases, n_freq), speech first

    def __init__(
        self, *, n_freq: int = 257, hidden: tuple[int, ...] = (1024, 1024, 1024, 1024), n_bases: int = 100
    ) -> None:
        super().__init__()
        self.masker = DNNIRM(n_freq=n_freq, hidden=hidden)
        self.enhancer = Dense((2 * n_freq, *hidden, 2 * n_bases), nn.ReLU())
        self.register_buffer("bases", torch.full((2, n_bases, n_freq), 1 / n_freq))

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Separated:
        mask = self.masker(noisy_mag)
        masks = torch.cat((mask, 1 - mask), 1)
        found = unflatten_bins(self.enhancer(flatten_bins(masks.detach() * noisy_mag)), 2)  # (B, 2, T, n_bases)
        decoded = found @ self.bases
        return Separated(masks, found, decoded, wiener_gains(decoded) * noisy_mag)

    @torch.no_grad()
    def fit_bases(self, passes: Iterable[ForwardPass]) -> None:
        """Fit the bases to the magnitudes of clean speech and of noise in all frames of some training batches.

        Source: paper [002], section IV-A, NMF settings.
        """
        frames = torch.cat([source_magnitudes(run).transpose(0, 1).flatten(1, 2) for run in passes], 1)
        generator = torch.Generator().manual_seed(0)
        self.bases.copy_(nmf.fit(frames, n_bases=self.bases.shape[1], generator=generator))
