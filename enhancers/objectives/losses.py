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


def neg_threshold_snr(estimate: Tensor, reference: Tensor, *, limit_db: float = 30.0) -> Tensor:
    """Return the negative signal-to-noise ratio in dB, limited softly; unlike SI-SNR it depends on sign and level.

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
    """Return the squared error of power-compressed spectra in windows of 1024, 512 and 256 samples.

    Magnitude and complex spectrum are weighted as in `compressed_spectrum`.

    Source: Braun & Tashev 2020, eq. 3 (arXiv:2009.12286).
    Departs: the mean over three windows, each of which overlaps by half.
    Shapes: (B, N) twice, RMS near 1 -> (); windows are 64, 32 and 16 ms at 16 kHz, 21, 11 and 5 ms at 48 kHz.
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


def log_spectrum(estimate: Tensor, reference: Tensor, *, n_fft: int = 2048, floor: float = 0.1) -> Tensor:
    """Return the mean distance of logarithmic magnitudes in dB, of what is above a floor.

    Source: own; the log-spectral distance of Gray & Markel 1976 as a mean of absolute values.
    Shapes: (B, N) twice, RMS of the whole band near 1 -> ().

    >>> x = torch.randn(1, 8192)
    >>> round(log_spectrum(0.5 * x, x).item())
    6
    """
    stft = Stft(n_fft, n_fft // 2, "hann")
    logs = [10 * torch.log10(torch.view_as_real(stft(x)).square().sum(-1) + floor**2) for x in (estimate, reference)]
    return (logs[0] - logs[1]).abs().mean()


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
