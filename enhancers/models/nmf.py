"""Non-negative matrix factorisation with the Kullback-Leibler divergence: magnitudes = activations @ bases."""

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS


def activations(magnitudes: Tensor, bases: Tensor, *, updates: int = 50) -> Tensor:
    """Return how much of each basis is in each frame, by multiplicative updates from equal activations.

    Source: Lee & Seung 2000, eq. 5; 50 updates as in paper [002], section IV-A, NMF settings.
    Shapes: magnitudes (*, T, F) >= 0, bases (*, K, F) >= 0 -> (*, T, K).

    >>> activations(torch.tensor([[4.0, 4.0, 2.0]]), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [[8.0, 2.0]]
    """
    found = magnitudes.new_ones(*magnitudes.shape[:-1], bases.shape[-2])
    for _ in range(updates):
        found = _update(magnitudes, found, bases)
    return found


def fit(magnitudes: Tensor, *, n_bases: int = 100, updates: int = 50, generator: torch.Generator) -> Tensor:
    """Return bases of the magnitudes, each with sum 1; the activations are discarded.

    With unit sums (own choice) activations have the scale of magnitudes: in a frame their sum is that of its bins.

    Source: Lee & Seung 2000, eq. 5; 100 bases and 50 updates of paper [002], section IV-A, NMF settings.
    Shapes: magnitudes (*, T, F) >= 0 -> (*, n_bases, F).
    """
    *batch, n_frames, n_freq = magnitudes.shape

    def random(*shape: int) -> Tensor:
        return torch.rand((*batch, *shape), generator=generator).to(magnitudes) + 0.1  # zeros would stay zeros

    found, bases = random(n_frames, n_bases), random(n_bases, n_freq)
    for _ in range(updates):
        found = _update(magnitudes, found, bases)
        bases = _update(magnitudes.mT, bases.mT, found.mT).mT
        scale = bases.sum(-1, keepdim=True)  # (*, n_bases, 1)
        bases, found = bases / scale.clamp_min(EPS), found * scale.mT
    return bases


def _update(magnitudes: Tensor, factor: Tensor, other: Tensor) -> Tensor:
    """Return the left factor of magnitudes = factor @ other after one multiplicative update."""
    ratio = magnitudes / (factor @ other).clamp_min(EPS)
    return factor * (ratio @ other.mT) / other.sum(-1).clamp_min(EPS).unsqueeze(-2)
