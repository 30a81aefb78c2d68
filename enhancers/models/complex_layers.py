"""Complex-valued layers on real tensors: the first half of the channels is the real part, the second the imaginary."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.models.layers import Memory


def half(channels: int) -> int:
    """Return how many complex channels these real and imaginary ones make.

    Raises: ValueError if the channels are odd.
    """
    if channels % 2:
        raise ValueError(f"{channels} channels do not split into a real and an imaginary half")
    return channels // 2


def complex_cat(x: Tensor, y: Tensor) -> Tensor:
    """Concatenate the channels of two complex tensors: real with real, imaginary with imaginary.

    Shapes: (B, C, T, F) and (B, D, T, F) -> (B, C + D, T, F).

    >>> complex_cat(torch.tensor([1, 2]).reshape(1, 2, 1, 1), torch.tensor([3, 4]).reshape(1, 2, 1, 1)).flatten()
    tensor([1, 3, 2, 4])
    """
    (x_real, x_imag), (y_real, y_imag) = x.chunk(2, 1), y.chunk(2, 1)
    return torch.cat((x_real, y_real, x_imag, y_imag), 1)


def complex_product(real: Callable[[Tensor], Tensor], imag: Callable[[Tensor], Tensor], x: Tensor, dim: int) -> Tensor:
    """Apply the complex function real + j imag to x; both parts of x go through each function as one batch.

    Source: paper [003], eqs. 1 to 4.
    Shapes: x with the real half first in dimension dim -> the same.

    >>> complex_product(lambda x: 2 * x, lambda x: 3 * x, torch.tensor([[5.0, 7.0]]), 1)  # (2 + 3j)(5 + 7j)
    tensor([[-11.,  29.]])
    """
    both = torch.cat(x.chunk(2, dim))
    (rr, ir), (ri, ii) = real(both).chunk(2), imag(both).chunk(2)
    return torch.cat((rr - ii, ri + ir), dim)


class ComplexConv(nn.Module):
    """Complex convolution over time and frequency, stride (1, 2): half the bins, no look-ahead.

    Source: paper [003], eq. 1.
    Shapes: (B, in_channels, T, F) -> (B, out_channels, T, F / 2), F even; kernel (frames, bins), bins odd.
    Raises: ValueError if a number of channels is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: tuple[int, int]) -> None:
        super().__init__()
        sizes = (half(in_channels), half(out_channels), kernel, (1, 2), (0, (kernel[1] - 1) // 2))
        self.real, self.imag = nn.Conv2d(*sizes), nn.Conv2d(*sizes)
        self.past = kernel[0] - 1

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return complex_product(self.real, self.imag, memory.past(x, self.past), 1)


class ComplexUpConv(nn.Module):
    """Complex transposed convolution, stride (1, 2): twice the bins, no look-ahead.

    Source: paper [003], eq. 1; SYSTEMS.md section 0: of the T + frames - 1 frames the first T are kept.
    Shapes: (B, in_channels, T, F) -> (B, out_channels, T, 2 F); kernel (frames, bins).
    Raises: ValueError if a number of channels is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.past = kernel[0] - 1
        # padding of a transposed convolution crops its result: here the first frames, which came from the call before,
        # and the last, which are incomplete
        padding, extra = (self.past, (kernel[1] - 1) // 2), (0, kernel[1] % 2)
        sizes = (half(in_channels), half(out_channels), kernel, (1, 2), padding, extra)
        self.real, self.imag = nn.ConvTranspose2d(*sizes), nn.ConvTranspose2d(*sizes)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return complex_product(self.real, self.imag, memory.past(x, self.past), 1)


class ComplexBatchNorm(nn.Module):
    """Complex batch normalisation: whitens the 2 x 2 covariance of real and imaginary part, then applies a learned one.

    Source: Trabelsi et al. 2018, section 3.5 (arXiv:1705.09792), cited by paper [003].
    Departs: eps and momentum are those of torch's BatchNorm2d.
    Size: 5 parameters per complex channel: gamma rr, ri, ii and a complex shift.
    Shapes: (B, channels, T, F), unchanged; float32.
    Raises: ValueError if the number of channels is odd.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        one, zero = torch.ones(half(channels)), torch.zeros(half(channels))
        self.scale = nn.Parameter(torch.stack((one, zero, one)) / math.sqrt(2))  # rr, ri, ii
        self.shift = nn.Parameter(torch.stack((zero, zero)))
        self.register_buffer("running_mean", torch.stack((zero, zero)))
        self.register_buffer("running_covariance", torch.stack((one, zero, one)))

    def forward(self, x: Tensor) -> Tensor:
        real, imag = x.float().chunk(2, 1)  # half precision cannot hold a covariance
        everywhere = (0, 2, 3)
        if self.training:
            mean = torch.stack((real.mean(everywhere), imag.mean(everywhere)))
            self.running_mean.lerp_(mean.detach(), self.momentum)
        else:
            mean = self.running_mean
        real, imag = real - mean[0, :, None, None], imag - mean[1, :, None, None]
        if self.training:
            products = (real.square(), real * imag, imag.square())
            covariance = torch.stack([product.mean(everywhere) for product in products])
            self.running_covariance.lerp_(covariance.detach(), self.momentum)
        else:
            covariance = self.running_covariance
        from_real, from_imag = self._gain(covariance)[..., None, None]
        out_real = from_real[0] * real + from_imag[0] * imag + self.shift[0, :, None, None]
        out_imag = from_real[1] * real + from_imag[1] * imag + self.shift[1, :, None, None]
        return torch.cat((out_real, out_imag), 1)

    def _gain(self, covariance: Tensor) -> Tensor:
        """Return scale @ covariance ** -0.5 of each channel, (from, to, C), by the closed form of a 2 x 2 root."""
        rr, ri, ii = covariance[0] + self.eps, covariance[1], covariance[2] + self.eps
        root = (rr * ii - ri.square()).clamp_min(self.eps**2).sqrt()
        norm = root * (rr + ii + 2 * root).sqrt()
        white_rr, white_ri, white_ii = (ii + root) / norm, -ri / norm, (rr + root) / norm
        scale_rr, scale_ri, scale_ii = self.scale
        from_real = torch.stack((scale_rr * white_rr + scale_ri * white_ri, scale_ri * white_rr + scale_ii * white_ri))
        from_imag = torch.stack((scale_rr * white_ri + scale_ri * white_ii, scale_ri * white_ri + scale_ii * white_ii))
        return torch.stack((from_real, from_imag))


class ComplexLSTM(nn.Module):
    """Complex LSTM: a real and an imaginary LSTM, combined as a complex product.

    Source: paper [003], eqs. 2 to 4.
    Shapes: (B, T, inputs) -> (B, T, units); inputs and units count real and imaginary ones together.
    Raises: ValueError if the inputs or the units are odd.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        sizes = (half(inputs), half(units))
        self.real, self.imag = nn.LSTM(*sizes, batch_first=True), nn.LSTM(*sizes, batch_first=True)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        real, imag = partial(memory.recurrent, self.real), partial(memory.recurrent, self.imag)
        return complex_product(real, imag, x, 2)
