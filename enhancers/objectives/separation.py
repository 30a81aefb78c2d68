"""Targets and losses of networks that separate speech and noise, paper [002]; speech comes first in dimension 1."""

from typing import Any

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.separation import Reconstruction, noise_spec, per_source, source_magnitudes
from clean_corpus.enhancers.domains.spectral import EPS, ForwardPass
from clean_corpus.enhancers.models import nmf


def ideal_ratio_masks(clean_spec: Tensor, noise_spec: Tensor) -> Tensor:
    """Return the ideal ratio masks (IRM) of speech and of noise, which sum to 1.

    Source: paper [002], eq. 2.
    Shapes: (B, T, F) complex twice -> (B, 2, T, F).

    >>> ideal_ratio_masks(torch.tensor([[[3j]]]), torch.tensor([[[1 + 0j]]])).flatten().tolist()
    [0.75, 0.25]
    """
    magnitudes = torch.stack((clean_spec.abs(), noise_spec.abs()), 1)
    return magnitudes / magnitudes.sum(1, keepdim=True).clamp_min(EPS)


def constrained_phase_sensitive_masks(clean_spec: Tensor, noise_spec: Tensor) -> Tensor:
    """Return the constrained phase-sensitive ratio masks (cPSIRM) of speech and of noise.

    Each is the ratio mask times the cosine of the angle between source and mixture, where that is positive, else 0.

    Source: paper [002], eq. 3.
    Shapes: (B, T, F) complex twice -> (B, 2, T, F), in [0, 1], sum <= 1.

    >>> constrained_phase_sensitive_masks(torch.tensor([[[4 + 0j]]]), torch.tensor([[[-1 + 0j]]])).flatten().tolist()
    [0.800000011920929, 0.0]
    """
    sources = torch.stack((clean_spec, noise_spec), 1)
    noisy_spec = sources.sum(1, keepdim=True)
    cosine = (sources * noisy_spec.conj()).real / (sources.abs() * noisy_spec.abs()).clamp_min(EPS)
    return ideal_ratio_masks(clean_spec, noise_spec) * cosine.clamp(0, 1)


def _masks(output: Any) -> Tensor:
    """Return the masks of a network that gives nothing else, or of one that gives more."""
    return output if isinstance(output, Tensor) else output.masks


def ratio_masks(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the masks with the ideal ratio masks: of speech, or of both sources where the network gives both.

    Shapes: -> (B, 1 or 2, T, F) twice.
    """
    masks = _masks(run.output)
    return masks, ideal_ratio_masks(run.clean_spec, noise_spec(run))[:, : masks.shape[1]]


def constrained_masks(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the masks of both sources with the constrained phase-sensitive ratio masks.

    Source: paper [002], section III-C, first mapping.
    Shapes: -> (B, 2, T, F) twice.
    """
    return _masks(run.output), constrained_phase_sensitive_masks(run.clean_spec, noise_spec(run))


def speech_magnitude(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the output with the magnitude of clean speech.

    Shapes: -> (B, T, F) twice.
    """
    return run.output.squeeze(1), run.clean_spec.abs()


def masked_magnitudes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the masked mixture with the magnitudes of speech and noise.

    Source: paper [002], section III-C, second mapping. A real mask >= 0 passes the pair of IFFT and FFT unchanged
    (SYSTEMS.md section 4.2), so the time frames in between are left out.
    Shapes: -> (B, 2, T, F) twice.
    """
    return run.output.masks * run.noisy_spec.abs().unsqueeze(1), source_magnitudes(run)


def reconstructions(run: ForwardPass) -> tuple[Reconstruction, Tensor]:
    """Compare the auto-encoders' outputs for the magnitudes of speech and noise with these magnitudes.

    Source: paper [002], section III-C, phase I; step 0 of SYSTEMS.md section 4.3.
    Shapes: -> Reconstruction of both sources, (B, 2, T, F).
    """
    both = source_magnitudes(run)
    speech, noise = run.network.speech_dae(both[:, 0]), run.network.noise_dae(both[:, 1])
    return Reconstruction(*(torch.stack(pair, 1) for pair in zip(speech, noise, strict=True))), both


def codes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the codes of the noisy signal with those that the auto-encoders give speech and noise.

    Source: paper [002], section III-C, third mapping of Sep and Jnt4.
    Shapes: -> (B, 2, T, code) twice.
    """
    encoders = (run.network.speech_dae.encoder, run.network.noise_dae.encoder)
    with torch.no_grad():
        reference = per_source(encoders, source_magnitudes(run))
    return run.output.codes, reference


def magnitudes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the final estimates with the magnitudes of speech and noise.

    Source: paper [002], section III-C, last mapping of Jnt3 and Jnt4.
    Shapes: -> (B, 2, T, F) twice.
    """
    return run.output.estimates, source_magnitudes(run)


def activations(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare the activations of the noisy signal with those of the NMF bases for speech and noise.

    Source: paper [002], section II (DNN-based approximation of NMF); SYSTEMS.md section 4.4.
    Shapes: -> (B, 2, T, n_bases) twice.
    """
    return run.output.codes, nmf.activations(source_magnitudes(run), run.network.bases)


def both_mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared error of speech plus that of noise.

    Source: paper [002], eq. 7 (Loss1), 9 (Loss3) and 10 (Loss4), as means (SYSTEMS.md section 4.2).
    Shapes: (B, 2, T, *) twice -> ().

    >>> both_mse(torch.tensor([3.0, 1.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).item()
    10.0
    """
    return (estimate - reference).square().mean((0, 2, 3)).sum()


def both_mae(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean absolute error of speech plus that of noise.

    Source: paper [002], eq. 8 (Loss2), as SYSTEMS.md section 4.2 reads it.
    Departs: a mean over the F one-sided bins; the paper's K two-sided ones count all but the first and last twice.
    Shapes: (B, 2, T, F) twice -> ().

    >>> both_mae(torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).item()
    4.0
    """
    return (estimate - reference).abs().mean((0, 2, 3)).sum()


def reconstruction_error(estimate: Reconstruction, reference: Tensor) -> Tensor:
    """Return the squared error of both auto-encoders, summed over bins and averaged over frames.

    Source: paper [002], eq. 11, first term.
    Shapes: magnitudes and reference (B, 2, T, F) -> ().
    """
    return (estimate.magnitudes - reference).square().sum((1, 3)).mean()


def code_l1(estimate: Reconstruction, reference: Tensor) -> Tensor:
    """Return the absolute values of the codes, summed over units and averaged over frames; it keeps codes sparse.

    Source: paper [002], eq. 11, second term, which has no weight of its own (SYSTEMS.md section 4.5).
    Shapes: codes (B, 2, T, code) -> (); reference is not used.
    """
    return estimate.codes.abs().sum((1, 3)).mean()
