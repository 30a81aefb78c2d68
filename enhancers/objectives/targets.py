"""Training targets: each takes one forward pass and returns what to compare, (estimate, reference)."""

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.ratio_mask import compress
from clean_corpus.enhancers.domains.spectral import EPS, ForwardPass


def ideal_amplitude_mask(clean_spec: Tensor, noisy_spec: Tensor, *, limit: float = 10.0) -> Tensor:
    """Return |S| / |Y|, the modulus of the complex ratio mask, clipped to [0, limit].

    Source: SYSTEMS.md section 2.1, and section 2.4 for the limit and for the modulus in place of the complex mask.
    Shapes: (B, T, F) complex twice -> (B, T, F).

    >>> ideal_amplitude_mask(torch.tensor([[[3 + 4j]]]), torch.tensor([[[0 + 10j]]])).item()
    0.5
    """
    return (clean_spec.abs() / noisy_spec.abs().clamp_min(EPS)).clamp(0, limit)


def complex_ratio_mask(clean_spec: Tensor, noisy_spec: Tensor) -> Tensor:
    """Return the complex ratio mask S / Y.

    Source: paper [003], eq. 5; SYSTEMS.md section 2.1.
    Shapes: (B, T, F) complex twice -> (B, 2, T, F), real and imaginary part.

    >>> complex_ratio_mask(torch.tensor([[[1j]]]), torch.tensor([[[2.0 + 0j]]])).flatten().tolist()
    [0.0, 0.5]
    """
    mask = clean_spec * noisy_spec.conj() / noisy_spec.abs().square().clamp_min(EPS)
    return torch.stack((mask.real, mask.imag), 1)


def amplitude_mask(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the network's mask with the ideal amplitude mask.

    Source: paper [000], section III-C; SYSTEMS.md sections 2.1 and 2.4.
    Shapes: -> (B, T, F) twice.
    """
    return run.output.squeeze(1), ideal_amplitude_mask(run.clean_spec, run.noisy_spec)


def compressed_ratio_mask(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the network's two channels with both parts of the complex ratio mask, compressed.

    Source: paper [000], section III-C, read literally; SYSTEMS.md section 2.4, `crm`.
    Shapes: -> (B, 2, T, F) twice.
    """
    return run.output, compress(complex_ratio_mask(run.clean_spec, run.noisy_spec))


def waveform(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the resynthesised estimate with the clean waveform.

    Shapes: -> (B, N) twice.
    """
    return run.estimate, run.clean


def masked_magnitude(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the masked noisy magnitude with the clean one: magnitude signal approximation.

    Source: paper [003], section 2.3, MSA.
    Shapes: -> (B, T, F) twice.
    """
    return run.output.squeeze(1) * run.noisy_spec.abs(), run.clean_spec.abs()


def speech_and_noise(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the magnitudes of speech and noise, each under the gain, with those of speech and of silence.

    Source: Xia et al., ICASSP 2020; SYSTEMS.md section 5.3, NSNet.
    Shapes: -> (B, 2, T, F) twice.
    """
    speech, noise = run.clean_spec.abs(), (run.noisy_spec - run.clean_spec).abs()
    return run.output * torch.stack((speech, noise), 1), torch.stack((speech, torch.zeros_like(noise)), 1)


def clean_windows(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the output windows with those of the pre-emphasised clean waveform.

    Shapes: -> (B * W, 1, window) twice.
    """
    return run.output, run.domain.cut(run.clean)
