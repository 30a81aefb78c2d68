"""Losses: plain functions of (estimate, reference), scalar out, batch mean."""

import torch
from torch import Tensor

from enhancers.domains import EPS, Stft


def mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error.

    Shapes: equal, any.
    """
    return (estimate - reference).square().mean()


def neg_si_snr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Negative scale-invariant signal-to-noise ratio in dB, no mean removal.

    Source: SYSTEMS.md section 5 (paper [003], eq. 10).
    Shapes: (B, N) twice -> ().

    >>> x = torch.tensor([[1.0, 0.0]])
    >>> round(neg_si_snr(torch.tensor([[2.0, 0.2]]), x).item(), 3)
    -20.0
    """
    scale = (estimate * reference).sum(-1, keepdim=True) / (reference.square().sum(-1, keepdim=True) + EPS)
    target = scale * reference
    ratio = target.square().sum(-1) / ((estimate - target).square().sum(-1) + EPS)
    return -10 * torch.log10(ratio + EPS).mean()


def neg_threshold_snr(estimate: Tensor, reference: Tensor, *, limit_db: float = 30.0) -> Tensor:
    """Negative signal-to-noise ratio in dB that counts no more as it comes near a limit; sign and level are heard.

    Source: Wisdom et al. 2020 (arXiv:2006.12701), eq. 2.
    Shapes: (B, N) twice -> ().

    >>> x = torch.ones(1, 4)
    >>> [round(neg_threshold_snr(a * x, x).item(), 2) for a in (1.0, 0.9, 0.0, -1.0)]
    [-30.0, -19.59, 0.0, 6.02]
    """
    power = reference.square().sum(-1)
    error = (estimate - reference).square().sum(-1)
    return 10 * torch.log10((error + 10 ** (-limit_db / 10) * power + EPS) / (power + EPS)).mean()


def compressed_spectra(estimate: Tensor, reference: Tensor, *, power: float = 0.3, blend: float = 0.3) -> Tensor:
    """Squared error of power-compressed spectra, as `compressed_spectrum`, in windows of 64, 32 and 16 ms.

    Source: Braun & Tashev 2020, eq. 3 (arXiv:2009.12286); the windows, which overlap by half, are an own choice.
    Shapes: (B, N) at 16 kHz twice, RMS near 1 -> ().
    """
    total = estimate.new_zeros(())
    sizes = (1024, 512, 256)
    for n_fft in sizes:
        stft = Stft(n_fft, n_fft // 2, "hann")
        parts = []
        for x in (estimate, reference):
            spec = torch.view_as_real(stft(x))
            square = spec.square().sum(-1) + EPS
            parts.append((square.pow(power / 2), spec * square.pow((power - 1) / 2).unsqueeze(-1)))
        (est_mag, est), (ref_mag, ref) = parts
        total = total + (1 - blend) * (est_mag - ref_mag).square().mean()
        total = total + blend * (est - ref).square().sum(-1).mean()
    return total / len(sizes)


def compressed_spectrum(estimate: Tensor, reference: Tensor, *, power: float = 0.3, blend: float = 0.3) -> Tensor:
    """Squared error of power-compressed spectra: (1 - blend) of the magnitude, blend of the complex one.

    Source: Braun & Tashev 2020, eq. 3 (arXiv:2009.12286), there c = 0.3 and blend 0.3; summed over 512- and
    256-point windows so that onsets count too (own choice).
    Shapes: (B, N) twice, RMS near 1 -> ().
    """
    total = estimate.new_zeros(())
    sizes = (512, 256)
    for n_fft in sizes:
        stft = Stft(n_fft, n_fft // 4, "hann")
        est, ref = stft(estimate), stft(reference)
        est_mag, ref_mag = (est.abs().square() + EPS).sqrt(), (ref.abs().square() + EPS).sqrt()
        est_c, ref_c = est_mag.pow(power), ref_mag.pow(power)
        magnitude = (est_c - ref_c).square().mean()
        phase = (est * (est_c / est_mag) - ref * (ref_c / ref_mag)).abs().square().mean()
        total = total + (1 - blend) * magnitude + blend * phase
    return total / len(sizes)
