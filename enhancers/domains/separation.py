"""Speech and noise together, as paper [002] estimates them: outputs, masks, domains, targets and losses.

Two sources stand in dimension 1, speech first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS, ForwardPass, MagnitudeMask


class Decoded(NamedTuple):
    """What a network estimates by way of codes.

    Shapes: codes (B, 2, T, code); decoded (B, 2, T, F), any sign; estimates (B, 2, T, F) magnitudes.
    """

    codes: Tensor
    decoded: Tensor
    estimates: Tensor


class Separated(NamedTuple):
    """The same with the masks of a first stage.

    Shapes: masks (B, 2, T, F), in [0, 1]; the others as in `Decoded`.
    """

    masks: Tensor
    codes: Tensor
    decoded: Tensor
    estimates: Tensor


class Reconstruction(NamedTuple):
    """What an auto-encoder, or one of each source, makes of clean magnitudes.

    Shapes: magnitudes (B, T, F) or (B, 2, T, F); codes (B, T, code) or (B, 2, T, code), >= 0.
    """

    magnitudes: Tensor
    codes: Tensor


def per_source(functions: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    """Each source through its own function.

    Shapes: (B, 2, T, *) -> (B, 2, T, *).
    """
    return torch.stack([function(source) for function, source in zip(functions, x.unbind(1), strict=True)], 1)


def wiener_gains(decoded: Tensor) -> Tensor:
    """Each source's share of the power.

    Source: paper [002], eq. 6.
    Shapes: (B, 2, T, F) magnitudes of any sign -> (B, 2, T, F) in [0, 1].

    >>> wiener_gains(torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1)).flatten().tolist()
    [0.8999999761581421, 0.10000000149011612]
    """
    power = decoded.float().square()  # half precision ends at 256 squared, a magnitude of loud speech
    return power / (power.sum(1, keepdim=True) + EPS)


def ideal_ratio_masks(clean_spec: Tensor, noise_spec: Tensor) -> Tensor:
    """IRM of speech and of noise, which sum to 1.

    Source: paper [002], eq. 2.
    Shapes: (B, T, F) complex twice -> (B, 2, T, F).

    >>> ideal_ratio_masks(torch.tensor([[[3j]]]), torch.tensor([[[1 + 0j]]])).flatten().tolist()
    [0.75, 0.25]
    """
    magnitudes = torch.stack((clean_spec.abs(), noise_spec.abs()), 1)
    return magnitudes / magnitudes.sum(1, keepdim=True).clamp_min(EPS)


def constrained_phase_sensitive_masks(clean_spec: Tensor, noise_spec: Tensor) -> Tensor:
    """cPSIRM of speech and of noise: the ratio masks times max(0, cos) of the source's phase against the mixture's.

    Source: paper [002], eq. 3.
    Shapes: (B, T, F) complex twice -> (B, 2, T, F), in [0, 1], sum <= 1.

    >>> constrained_phase_sensitive_masks(torch.tensor([[[4 + 0j]]]), torch.tensor([[[-1 + 0j]]])).flatten().tolist()
    [0.800000011920929, 0.0]
    """
    sources = torch.stack((clean_spec, noise_spec), 1)
    noisy_spec = sources.sum(1, keepdim=True)
    cosine = (sources * noisy_spec.conj()).real / (sources.abs() * noisy_spec.abs()).clamp_min(EPS)
    return ideal_ratio_masks(clean_spec, noise_spec) * cosine.clamp(0, 1)


@dataclass(frozen=True)
class SourceMasks(MagnitudeMask):
    """Magnitude in, masks of speech and noise out; the estimate is the masked mixture.

    Source: SYSTEMS.md section 4.2.
    Shapes: features (B, T, F, complex) -> (B, 1, T, F); output (B, 2, T, F).
    """

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return output[:, 0] * noisy_spec


@dataclass(frozen=True)
class Separation(MagnitudeMask):
    """Magnitude in, `Separated` or `Decoded` out; the estimated speech magnitude gets the noisy phase.

    Source: SYSTEMS.md sections 4.2 and 4.3.
    """

    def estimate(self, output: Decoded | Separated, noisy_spec: Tensor) -> Tensor:
        return torch.polar(output.estimates[:, 0], noisy_spec.angle())


def noise_spec(run: ForwardPass) -> Tensor:
    """What was added to the clean signal.

    Shapes: -> (B, T, F) complex.
    """
    return run.noisy_spec - run.clean_spec


def source_magnitudes(run: ForwardPass) -> Tensor:
    """S and N.

    Shapes: -> (B, 2, T, F).
    """
    return torch.stack((run.clean_spec.abs(), noise_spec(run).abs()), 1)


def _masks(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.masks


def ratio_masks(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Masks against the IRM: of speech, or of both sources where the network gives both."""
    masks = _masks(run.output)
    return masks, ideal_ratio_masks(run.clean_spec, noise_spec(run))[:, : masks.shape[1]]


def constrained_masks(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Masks of both sources against the cPSIRM."""
    return _masks(run.output), constrained_phase_sensitive_masks(run.clean_spec, noise_spec(run))


def speech_magnitude(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """The output against S."""
    return run.output.squeeze(1), run.clean_spec.abs()


def masked_magnitudes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """The masked mixture against S and N.

    Source: paper [002], step 2. A real mask >= 0 passes the pair of IFFT and FFT unchanged (SYSTEMS.md section 4.2),
    so the frames in between are left out.
    """
    return run.output.masks * run.noisy_spec.abs().unsqueeze(1), source_magnitudes(run)


def reconstructions(run: ForwardPass) -> tuple[Reconstruction, Tensor]:
    """What the auto-encoders make of S and N, against S and N: step 0."""
    both = source_magnitudes(run)
    speech, noise = run.network.speech_dae(both[:, 0]), run.network.noise_dae(both[:, 1])
    return Reconstruction(*(torch.stack(pair, 1) for pair in zip(speech, noise, strict=True))), both


def codes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Codes of the noisy signal against those that the auto-encoders find in S and N: step 3."""
    encoders = (run.network.speech_dae.encoder, run.network.noise_dae.encoder)
    with torch.no_grad():
        reference = per_source(encoders, source_magnitudes(run))
    return run.output.codes, reference


def magnitudes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Final estimates against S and N."""
    return run.output.estimates, source_magnitudes(run)


def both_mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error of speech plus that of noise.

    Source: paper [002], eq. 7 (Loss1), 9 (Loss3) and 10 (Loss4), as means (SYSTEMS.md section 4.2).
    Shapes: (B, 2, T, *) twice -> ().

    >>> both_mse(torch.tensor([3.0, 1.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).item()
    10.0
    """
    return (estimate - reference).square().mean((0, 2, 3)).sum()


def both_mae(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute error of speech plus that of noise.

    Source: paper [002], eq. 8 (Loss2), as SYSTEMS.md section 4.2 reads it. Departs: mean over the F one-sided bins,
    where K two-sided ones count all but the first and the last twice.
    Shapes: (B, 2, T, F) twice -> ().

    >>> both_mae(torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).item()
    4.0
    """
    return (estimate - reference).abs().mean((0, 2, 3)).sum()


def reconstruction_error(estimate: Reconstruction, reference: Tensor) -> Tensor:
    """Squared error of both auto-encoders, summed over bins, mean over frames.

    Source: paper [002], eq. 11, first term.
    Shapes: magnitudes and reference (B, 2, T, F) -> ().
    """
    return (estimate.magnitudes - reference).square().sum((1, 3)).mean()


def code_l1(estimate: Reconstruction, reference: Tensor) -> Tensor:
    """What keeps the codes sparse: their absolute values, summed over units, mean over frames.

    Source: paper [002], eq. 11, second term; its weight is printed as 1 (SYSTEMS.md section 4.5).
    Shapes: codes (B, 2, T, code) -> (); reference is not used.
    """
    return estimate.codes.abs().sum((1, 3)).mean()
