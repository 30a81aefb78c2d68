"""What a network is trained towards: each takes one forward pass and returns (estimate, reference) to compare."""

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS, ForwardPass


def ideal_amplitude_mask(clean_spec: Tensor, noisy_spec: Tensor, *, limit: float = 10.0) -> Tensor:
    """|S| / |Y|, the modulus of the complex ratio mask, clipped to [0, limit].

    Source: SYSTEMS.md section 2.1 and its decisions (limit 10).
    Shapes: (B, T, F) complex twice -> (B, T, F).

    >>> ideal_amplitude_mask(torch.tensor([[[3 + 4j]]]), torch.tensor([[[0 + 10j]]])).item()
    0.5
    """
    return (clean_spec.abs() / noisy_spec.abs().clamp_min(EPS)).clamp(0, limit)


def complex_ratio_mask(clean_spec: Tensor, noisy_spec: Tensor) -> Tensor:
    """S / Y.

    Source: SYSTEMS.md section 2.1: M_r = (Y_r S_r + Y_i S_i) / |Y|^2, M_i = (Y_r S_i - Y_i S_r) / |Y|^2.
    Shapes: (B, T, F) complex twice -> (B, 2, T, F), real and imaginary part.

    >>> complex_ratio_mask(torch.tensor([[[1j]]]), torch.tensor([[[2.0 + 0j]]])).flatten().tolist()
    [0.0, 0.5]
    """
    mask = clean_spec * noisy_spec.conj() / noisy_spec.abs().square().clamp_min(EPS)
    return torch.stack((mask.real, mask.imag), 1)


def amplitude_mask(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """The output against the ideal amplitude mask."""
    return run.output.squeeze(1), ideal_amplitude_mask(run.clean_spec, run.noisy_spec)


def waveform(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """The resynthesised estimate against the clean waveform."""
    return run.estimate, run.clean
