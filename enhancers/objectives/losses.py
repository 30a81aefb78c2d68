"""Losses: plain functions of (estimate, reference), scalar out, batch mean."""

import math

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS, Stft
from clean_corpus.enhancers.domains.windows import EMPHASIS


def mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared error.

    Shapes: equal, any.
    """
    return (estimate - reference).square().mean()


def neg_si_snr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the negative scale-invariant signal-to-noise ratio in dB, without removal of the mean.

    Source: paper [003], eq. 10; SYSTEMS.md section 5.
    Shapes: (B, N) twice -> ().

    >>> x = torch.tensor([[1.0, 0.0]])
    >>> round(neg_si_snr(torch.tensor([[2.0, 0.2]]), x).item(), 3)
    -20.0
    """
    scale = (estimate * reference).sum(-1, keepdim=True) / (reference.square().sum(-1, keepdim=True) + EPS)
    target = scale * reference
    ratio = target.square().sum(-1) / ((estimate - target).square().sum(-1) + EPS)
    return -10 * torch.log10(ratio + EPS).mean()


def compressed_spectrum(estimate: Tensor, reference: Tensor, *, power: float = 0.3, blend: float = 0.3) -> Tensor:
    """Return the squared error of power-compressed spectra: (1 - blend) of the magnitude, blend of the complex one.

    Source: Braun & Tashev 2020 (arXiv:2009.12286), with their compression 0.3 and blend 0.3.
    Departs: the mean over 512- and 256-point windows, so that onsets count too.
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


def weighted_distortion(estimate: Tensor, reference: Tensor, *, speech_weight: float = 0.35) -> Tensor:
    """Return the weighted sum of the squared errors of speech and of noise.

    Source: Xia et al., ICASSP 2020; SYSTEMS.md section 5.3 (weight not verified).
    Shapes: (B, 2, T, F) twice, speech and noise -> ().

    >>> x = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    >>> round(weighted_distortion(x, torch.zeros_like(x)).item(), 3)  # 0.35 * 1 + 0.65 * 4
    2.95
    """
    speech, noise = (estimate - reference).square().mean((0, 2, 3))
    return speech_weight * speech + (1 - speech_weight) * noise


def waveform_error(estimate: Tensor, reference: Tensor, *, emphasis: float = EMPHASIS) -> Tensor:
    """Return the power of the error over that of the speech in de-emphasised windows, in dB: an inverted SNR.

    Pre-emphasis lowers the rumble of a room, most of its noise, by 26 dB, and with it what L1 sees of it. De-emphasis
    is circular (a product of spectra). Errors 35 dB below the speech hardly count, and silence counts as -60 dBFS.

    Source: own.
    Shapes: (B, 1, N) pre-emphasised windows twice -> ().

    >>> speech = torch.randn(1, 1, 16384)
    >>> round(waveform_error(1.1 * speech, speech).item(), 1)
    -19.9
    """
    n = reference.shape[-1]
    turns = torch.fft.rfftfreq(n, device=reference.device) * 2 * math.pi
    undo = 1 / (1 + emphasis**2 - 2 * emphasis * torch.cos(turns)) / n  # bins to mean squares
    error, speech = (
        (torch.fft.rfft(x.float()).abs().square() * undo).mean(-1) for x in (estimate - reference, reference)
    )
    return 10 * torch.log10(error / (speech + 1e-6) + 10**-3.5).mean()
