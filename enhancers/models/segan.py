"""Generator of SEGAN and of WGAN with PReLU or gated units, paper [004], with the layers that the critic shares."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

CHANNELS = (16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024)
Activation = Literal["glu", "prelu", "leaky_relu"]
Norm = Literal["batch", "window"] | None
_SLOPE = {"prelu": 0.25, "leaky_relu": 0.3}  # PReLU starts there and learns
_GAIN = {"glu": 2.0} | {kind: nn.init.calculate_gain("leaky_relu", slope) for kind, slope in _SLOPE.items()}
_GATE_GAIN = 0.3
_STEP = 0.1  # scale of a residual: while the last layer learns, it stays weaker than the noise to be removed
_CREST = 8.0  # largest peak, relative to the level, that the layers see


class SEGAN(nn.Module):
    """Strided convolutional encoder and decoder with skips over a waveform window, with a latent at the bottleneck.

    Gated layers have two sets of filters; the last layer is plain.

    Source: paper [004], section 3 (layers), section 2.2 and eq. 3 (gates); channels of Pascual et al. 2017; SYSTEMS.md
    section 6.1.
    Departs: with `residual` the network's output is added to the noisy window and is zero before training, since
    recordings of 15 dB and more need a small correction only. The window is scaled to an RMS of 1, or less if it would
    peak above 8, and the output back: speech at any level is as strong as the latent, and a click in a silent window
    does not open every gate. The output of each layer's filters is normalised over the window (GroupNorm of one
    group): gates pass the peaks that opened them, so in training levels grew up to fivefold a layer, to 2000 at the
    bottleneck, until the decoder suppressed all but the four outermost layers.
    Size: 73,100,049 parameters with PReLU, 146,191,105 with GLU (asserted in tests), without `residual`.
    Shapes: noisy (B, 1, N) samples, latent (B, channels[-1], N / 2^len(channels)) -> (B, 1, N), in (-1, 1) unless
    `residual`; N is 16384 in the paper. Not causal: the whole window is seen.
    Raises: ValueError if N does not halve len(channels) times, the latent does not fit, or kernel_size is even.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = CHANNELS,
        kernel_size: int = 31,
        activation: Literal["glu", "prelu"] = "prelu",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.residual = channels, residual
        norm: Norm = "window" if residual else None
        self.encoder = nn.ModuleList(
            down_layer(a, b, kernel_size=kernel_size, activation=activation, norm=norm)
            for a, b in pairwise((1, *channels))
        )
        levels = list(reversed((1, *channels)))
        self.decoder = nn.ModuleList(
            _up_layer(2 * a, b, kernel_size=kernel_size, activation=activation, norm=norm)
            for a, b in pairwise(levels[:-1])
        )
        self.last = _up_conv(2 * channels[0], 1, kernel_size)
        initialise(self, activation)
        if residual:
            nn.init.zeros_(self.last.weight)

    def latent_shape(self, n_samples: int) -> tuple[int, int]:
        """Return channels and frames of the latent for a window of `n_samples` samples."""
        return self.channels[-1], n_samples >> len(self.channels)

    def forward(self, noisy: Tensor, latent: Tensor) -> Tensor:
        step = 2 ** len(self.channels)
        if noisy.dim() != 3 or noisy.shape[1] != 1 or noisy.shape[2] % step:
            raise ValueError(f"noisy {tuple(noisy.shape)}: expected (B, 1, N), N a multiple of {step}")
        wanted = (noisy.shape[0], *self.latent_shape(noisy.shape[2]))
        if latent.shape != wanted:
            raise ValueError(f"latent {tuple(latent.shape)}: noisy {tuple(noisy.shape)} needs {wanted}")
        scale = level(noisy) if self.residual else 1.0
        x, encoded = noisy / scale, []
        for layer in self.encoder:
            x = layer(x)
            encoded.append(x)
        x = torch.cat((encoded.pop(), latent), 1)
        for layer in self.decoder:
            x = torch.cat((layer(x), encoded.pop()), 1)
        if self.residual:
            return noisy + scale * torch.tanh(_STEP * self.last(x))
        return torch.tanh(self.last(x))


def down_layer(
    in_channels: int, out_channels: int, *, kernel_size: int, activation: Activation, norm: Norm = None
) -> nn.Sequential:
    """Return a layer that halves the samples: convolution with stride 2, optional normalisation, activation.

    Shapes: (B, in_channels, N) -> (B, out_channels, N / 2).
    Raises: ValueError if kernel_size is even.
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} is even: a layer would not halve its input exactly")
    filters, function = _activation(activation, out_channels)
    conv = nn.Conv1d(in_channels, filters, kernel_size, 2, kernel_size // 2)
    return nn.Sequential(conv, *_normalised(norm, filters), function)


def level(window: Tensor) -> Tensor:
    """Return the level of a window: its RMS, or an eighth of its peak where that is more.

    Shapes: (B, 1, N) -> (B, 1, 1), above zero.
    """
    rms = window.square().mean(2, keepdim=True).sqrt()
    return torch.maximum(rms, window.abs().amax(2, keepdim=True) / _CREST).clamp_min(1e-5)


def initialise(network: nn.Module, activation: Activation) -> None:
    """Draw weights that preserve the variance of the signal from layer to layer, and set biases to zero.

    A gate near one half removes three quarters of the variance, hence the gain 2 for GLU. The filters of gates are
    weaker, so that gates stay near one half: otherwise the peaks of speech open them, each layer doubles what the one
    before doubled, and after 21 layers gradients are in the thousands.

    Source: He et al. 2015, eq. 10.
    Departs: SYSTEMS.md section 6.2 chose N(0, 0.02). An untrained gated critic then has a slope of 2e-6 and gradients
    below 5e-10, less than Adam's eps (full width; 1e-9 and 5e-13 at a quarter), and hardly learns. With these weights
    its slope is near 1 at any width.
    """
    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose1d):
            fan_in = layer.in_channels * layer.kernel_size[0] / layer.stride[0]
        elif isinstance(layer, nn.Conv1d | nn.Linear):
            fan_in = layer.weight[0].numel()
        else:
            continue
        nn.init.normal_(layer.weight, std=_GAIN[activation] / math.sqrt(fan_in))
        nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if isinstance(layer, nn.Sequential) and isinstance(layer[-1], nn.GLU):
            filters = layer[0].weight.transpose(0, 1) if isinstance(layer[0], nn.ConvTranspose1d) else layer[0].weight
            with torch.no_grad():
                filters[len(filters) // 2 :] *= _GATE_GAIN / _GAIN["glu"]


def _up_conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.ConvTranspose1d:
    """Return a transposed convolution that doubles the samples."""
    return nn.ConvTranspose1d(in_channels, out_channels, kernel_size, 2, kernel_size // 2, output_padding=1)


def _up_layer(
    in_channels: int, out_channels: int, *, kernel_size: int, activation: Activation, norm: Norm
) -> nn.Sequential:
    """Return a layer that doubles the samples: transposed convolution, optional normalisation, activation."""
    filters, function = _activation(activation, out_channels)
    return nn.Sequential(_up_conv(in_channels, filters, kernel_size), *_normalised(norm, filters), function)


def _normalised(norm: Norm, filters: int) -> list[nn.Module]:
    """Return the normalisation between a convolution and its activation: over a batch, over one window, or none."""
    if norm is None:
        return []
    return [nn.BatchNorm1d(filters) if norm == "batch" else nn.GroupNorm(1, filters)]


def _activation(kind: Activation, channels: int) -> tuple[int, nn.Module]:
    """Return the number of filters that a layer of `channels` outputs needs, and its activation."""
    if kind == "glu":
        return 2 * channels, nn.GLU(1)
    return channels, nn.PReLU(channels, _SLOPE[kind]) if kind == "prelu" else nn.LeakyReLU(_SLOPE[kind])
