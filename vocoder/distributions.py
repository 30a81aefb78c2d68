"""Distributions of the next sample: likelihood for training, draws for generation.

A draw is a function of the parameters, of a temperature and of noise drawn beforehand, so that two implementations of
the network can be compared sample by sample. A temperature T draws from the density raised to the power of 1 / T:
below 1 the likely samples become likelier, at 1 nothing changes.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from clean_corpus.pipeline.core.errors import ConfigError, nearest


class Distribution(Protocol):
    """A family of distributions of one sample, whose parameters the network predicts.

    Shapes: parameters (B, channels, N); samples (B, N), full scale +-1; noise (N, noise_channels) of one utterance.
    """

    name: str
    channels: int
    noise_channels: int

    def quantised(self, x: Tensor) -> Tensor:
        """Return the samples as generation would feed them back to the network, (B, N)."""
        ...

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Return the negative log-likelihood of each sample in nats, (B, N)."""
        ...

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the random numbers that n draws need, (n, noise_channels)."""
        ...

    def draw(self, parameters: Tensor, noise: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        """Draw one sample for each row: (B, channels), (B, noise_channels), (B, 1) -> (B,)."""
        ...


def mu_law_encode(x: Tensor, *, levels: int = 256) -> Tensor:
    """Return the class of each sample after mu-law companding, the target of WaveNet.

    Source: van den Oord et al. 2016, section 2.2.
    Shapes: x (*, N) samples, full scale +-1 -> (*, N) int64 in [0, levels).
    Raises: ValueError if any |x| > 1; clipping belongs to the pipeline's audio room.

    >>> mu_law_encode(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    if x.numel() and float(x.abs().max()) > 1:
        raise ValueError(f"sample {float(x.abs().max()):g} is beyond full scale")
    mu = levels - 1
    companded = x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)
    return ((companded + 1) / 2 * mu + 0.5).long()


def mu_law_decode(classes: Tensor, *, levels: int = 256) -> Tensor:
    """Return the sample in the middle of each class, the inverse of `mu_law_encode`.

    Source: van den Oord et al. 2016, section 2.2.
    Shapes: (*, N) integers in [0, levels) -> (*, N), full scale +-1.

    >>> mu_law_encode(mu_law_decode(torch.arange(256))).equal(torch.arange(256))
    True
    """
    mu = levels - 1
    companded = 2 * classes / mu - 1
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(mu)) / mu


@dataclass(frozen=True)
class MuLaw:
    """Softmax over mu-law classes.

    Source: van den Oord et al. 2016, section 2.2; 256 classes by SYSTEMS.md, section 6.4.
    """

    levels: int = 256
    name: str = "mu-law"

    @property
    def channels(self) -> int:
        return self.levels

    noise_channels = 1

    def quantised(self, x: Tensor) -> Tensor:
        return mu_law_decode(mu_law_encode(x, levels=self.levels), levels=self.levels)

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits, classes = parameters.transpose(1, 2).flatten(0, 1), mu_law_encode(x, levels=self.levels)
        return functional.cross_entropy(logits, classes.flatten(), reduction="none").view(x.shape)

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 1, generator=generator)

    def draw(self, parameters: Tensor, noise: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        odds = ((parameters - parameters.amax(1, keepdim=True)) / temperature).exp().cumsum(1)
        classes = (odds < noise * odds[:, -1:]).sum(1).clamp_max(self.levels - 1)
        return mu_law_decode(classes, levels=self.levels)


LOG_SCALE_MIN = -9.0  # the narrowest width is 1e-4, a few steps of 16 bit


@dataclass(frozen=True)
class Gaussian:
    """Normal distribution, given by its mean and the logarithm of its standard deviation.

    Source: Ping et al. 2019 (ClariNet), section 3.1.
    """

    name: str = "gaussian"
    channels: int = 2
    noise_channels: int = 1

    def quantised(self, x: Tensor) -> Tensor:
        return x

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        mean, log_scale = parameters[:, 0], parameters[:, 1].clamp_min(LOG_SCALE_MIN)
        return 0.5 * ((x - mean) * (-log_scale).exp()).square() + log_scale + 0.5 * math.log(2 * math.pi)

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 1, generator=generator)

    def draw(self, parameters: Tensor, noise: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        scale = parameters[:, 1:].clamp_min(LOG_SCALE_MIN).exp() * temperature**0.5
        return (parameters[:, :1] + scale * noise[:, :1]).clamp(-1, 1)[:, 0]


@dataclass(frozen=True)
class Logistics:
    """Mixture of logistic distributions over 16-bit steps, given by `components` weights, means and log scales.

    A temperature scales the widths and sharpens the weights, which is a power of the density far from the means.

    Source: Salimans et al. 2017 (PixelCNN++), section 2.1; van den Oord et al. 2018 (Parallel WaveNet), section 2.1.
    """

    components: int = 10
    levels: int = 65536
    name: str = "logistics"
    noise_channels: int = 2

    @property
    def channels(self) -> int:
        return 3 * self.components

    def quantised(self, x: Tensor) -> Tensor:
        return x

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        weights, means, log_scales = parameters.chunk(3, 1)
        log_scales, x, half = log_scales.clamp_min(LOG_SCALE_MIN), x.unsqueeze(1), 1 / (self.levels - 1)
        inverse = (-log_scales).exp()
        above, below = inverse * (x - means + half), inverse * (x - means - half)
        step = above.sigmoid() - below.sigmoid()
        middle = inverse * (x - means)
        # a step too improbable for float32 gets its density times its width
        density = middle - log_scales - 2 * functional.softplus(middle) + math.log(2 * half)
        within = torch.where(step > 1e-5, step.clamp_min(1e-12).log(), density)
        low, high = functional.logsigmoid(above), functional.logsigmoid(-below)  # the outermost steps reach to infinity
        log_p = torch.where(x < -1 + half, low, torch.where(x > 1 - half, high, within))
        return -torch.logsumexp(log_p + weights.log_softmax(1), 1)

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(n, 2, generator=generator).clamp(1e-5, 1 - 1e-5)
        return torch.stack((u[:, 0], u[:, 1].logit()), 1)

    def draw(self, parameters: Tensor, noise: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        weights, means, log_scales = parameters.chunk(3, 1)
        odds = ((weights - weights.amax(1, keepdim=True)) / temperature).exp().cumsum(1)
        chosen = (odds < noise[:, :1] * odds[:, -1:]).sum(1, keepdim=True).clamp_max(self.components - 1)
        mean, log_scale = means.gather(1, chosen), log_scales.gather(1, chosen)
        scale = log_scale.clamp_min(LOG_SCALE_MIN).exp() * temperature
        return (mean + scale * noise[:, 1:]).clamp(-1, 1)[:, 0]


DISTRIBUTIONS: dict[str, Distribution] = {d.name: d for d in (MuLaw(), Gaussian(), Logistics())}


def distribution(name: str) -> Distribution:
    """Return the distribution of that name.

    Raises: ConfigError that suggests the nearest name.
    """
    if name not in DISTRIBUTIONS:
        raise ConfigError(
            f"distribution {name!r} is not one of {', '.join(DISTRIBUTIONS)}{nearest(name, DISTRIBUTIONS)}"
        )
    return DISTRIBUTIONS[name]
