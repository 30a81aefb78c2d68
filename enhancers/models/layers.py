"""Layers of causal networks: memory between calls, convolutions that look only back, checks of shapes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Normalised = list[tuple[nn.Conv2d | nn.ConvTranspose2d, nn.ModuleList, int]]
"""Layers whose output goes through a normalisation at once, each with the list that holds it, and where."""


class Memory:
    """State of a network between calls, read and written in the order in which its layers run.

    One forward method serves whole signals and single frames: without state a network starts from silence, with the
    state of the last call it continues where that ended. Pass `Memory(state)` to forward and keep `memory.state` for
    the next call; an empty state stands for zeros everywhere.

    >>> memory = Memory()
    >>> memory.past(torch.ones(1, 1, 2, 3), 1).shape  # with one zero frame in front
    torch.Size([1, 1, 3, 3])
    >>> [tuple(x.shape) for x in memory.state]
    [(1, 1, 1, 3)]
    """

    def __init__(self, state: Sequence[Tensor] = ()) -> None:
        self._old, self._at = list(state), 0
        self.state: list[Tensor] = []

    def recall(self, like: Tensor, *shape: int) -> Tensor:
        """Return the next tensor of the old state, or zeros of that shape in the first call."""
        if not self._old:
            return like.new_zeros(shape)
        self._at += 1
        return self._old[self._at - 1]

    def keep(self, x: Tensor) -> None:
        """Store a tensor for the next call; call it once for each `recall`, in the same order."""
        self.state.append(x)

    def past(self, x: Tensor, frames: int, dim: int = 2) -> Tensor:
        """Return x with the last `frames` frames of the previous call in front.

        Shapes: x with T frames in dimension dim -> T + frames.
        """
        if not frames:
            return x
        if self._old:
            joined = torch.cat((self.recall(x), x), dim)
        else:  # unlike cat, pad keeps the channels-last layout
            joined = functional.pad(x, (0, 0) * (x.dim() - 1 - dim % x.dim()) + (frames, 0))
        self.keep(joined.narrow(dim, joined.shape[dim] - frames, frames))
        return joined

    def delay(self, x: Tensor, frames: int, dim: int = 2) -> Tensor:
        """Return x delayed by `frames` frames.

        Shapes: unchanged.
        """
        return self.past(x, frames, dim).narrow(dim, 0, x.shape[dim])

    def recurrent(self, layer: nn.GRU | nn.LSTM, x: Tensor) -> Tensor:
        """Run a batch-first recurrent layer from its last hidden state.

        Shapes: x (B, T, C) -> (B, T, H).
        """
        shape = (layer.num_layers, x.shape[0], layer.hidden_size)
        if isinstance(layer, nn.GRU):
            # in inference in bfloat16 on a CPU a GRU takes 15 times as long unless frames are contiguous
            x = x.transpose(0, 1).contiguous().transpose(0, 1)
            y, hidden = layer(x, self.recall(x, *shape))
            self.keep(hidden)
            return y
        y, (hidden, cell) = layer(x, (self.recall(x, *shape), self.recall(x, *shape)))
        self.keep(hidden)
        self.keep(cell)
        return y


def halved(n_freq: int, levels: int) -> list[int]:
    """Return the number of bins at each level of an encoder whose kernels span 3 bins, stride 2, without padding.

    Source: paper [000], table I; SYSTEMS.md section 0, Frequency.

    >>> halved(161, 5)
    [161, 80, 39, 19, 9, 4]
    """
    sizes = [n_freq]
    for _ in range(levels):
        sizes.append((sizes[-1] - 3) // 2 + 1)
    return sizes


class DownConv(nn.Module):
    """Convolution over time and frequency, kernel (kernel_t, 3), stride (1, 2): half the bins, no look-ahead.

    Source: SYSTEMS.md section 0, Causal conv.
    Shapes: (B, in_channels, T, F) -> (B, out_channels, T, (F - 3) // 2 + 1).
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_t: int = 2) -> None:
        super().__init__()
        self.past = kernel_t - 1
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel_t, 3), (1, 2))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return self.conv(memory.past(x, self.past))


class OddConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution, stride (1, 2), to an odd number of bins: computes one bin more and drops it.

    For an odd number of bins oneDNN takes up to twice as long, in bfloat16 seven times.

    Shapes: (B, in_channels, T, F) -> as nn.ConvTranspose2d without output_padding.

    >>> odd, x = OddConvTranspose2d(4, 2, (2, 3), (0, 1)), torch.randn(1, 4, 5, 6)
    >>> plain = nn.ConvTranspose2d(4, 2, (2, 3), (1, 2), (0, 1))
    >>> plain.load_state_dict(odd.state_dict())
    <All keys matched successfully>
    >>> torch.allclose(odd(x), plain(x), atol=1e-5)
    True
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel, (1, 2), padding, (0, 1))

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x, output_size)[..., :-1]


class UpConv(nn.Module):
    """Transposed convolution, kernel (kernel_t, 3), stride (1, 2): twice the bins, no look-ahead.

    Source: SYSTEMS.md section 0: of the T + kernel_t - 1 frames the first T are kept.
    Shapes: (B, in_channels, T, F) -> (B, out_channels, T, wide), wide 2 F + 1 or 2 F + 2.
    Raises: ValueError if wide is neither.
    """

    def __init__(self, in_channels: int, out_channels: int, *, narrow: int, wide: int, kernel_t: int = 2) -> None:
        super().__init__()
        extra = wide - (2 * narrow + 1)
        if extra not in (0, 1):
            raise ValueError(f"{narrow} bins become {2 * narrow + 1} or {2 * narrow + 2}, not {wide}")
        self.past, kernel = kernel_t - 1, (kernel_t, 3)
        self.conv: nn.ConvTranspose2d = (
            nn.ConvTranspose2d(in_channels, out_channels, kernel, (1, 2), (self.past, 0), output_padding=(0, 1))
            if extra
            else OddConvTranspose2d(in_channels, out_channels, kernel, (self.past, 0))
        )

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return self.conv(memory.past(x, self.past))


def flatten_bins(x: Tensor) -> Tensor:
    """Flatten channels and bins into one vector a frame: (B, C, T, F) -> (B, T, C * F), channel-major."""
    return x.transpose(1, 2).flatten(2)


def unflatten_bins(x: Tensor, channels: int) -> Tensor:
    """Undo `flatten_bins`: (B, T, C * F) -> (B, C, T, F)."""
    return x.unflatten(2, (channels, -1)).transpose(1, 2)


def expect(features: Tensor, *, channels: int, n_freq: int) -> None:
    """Check the shape of a network's input.

    Raises: ValueError unless features are (B, channels, T, n_freq).
    """
    if features.dim() != 4 or (features.shape[1], features.shape[3]) != (channels, n_freq):
        raise ValueError(f"features {tuple(features.shape)}: expected (B, {channels}, T, {n_freq})")
