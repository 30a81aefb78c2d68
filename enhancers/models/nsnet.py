"""NSNet: GRUs on normalised log power to a gain, baseline of paper [003]."""

import math

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.models.layers import Memory, expect


class NSNet(nn.Module):
    """GRU layers on normalised log power, to a gain for each bin.

    Source: Xia et al., ICASSP 2020, the baseline of the DNS challenge in tables 2 and 3 of paper [003]; SYSTEMS.md
    section 5.3.
    Size: 1,259,814 parameters (asserted in tests).
    Shapes: features (B, 1, T, n_freq) log power -> (B, 1, T, n_freq), 0 to 1; norm_frames, the time constant of the
    normalisation, in frames (3 s).
    Raises: ValueError if the features have another shape.
    """

    def __init__(self, *, n_freq: int = 257, layers: int = 3, norm_frames: float = 300.0) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.norm = OnlineNorm(norm_frames)
        self.gru = nn.GRU(n_freq, n_freq, num_layers=layers, batch_first=True)
        self.dense = nn.Linear(n_freq, n_freq)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x = self.norm(features.squeeze(1), memory)  # (B, T, F)
        return self.dense(memory.recurrent(self.gru, x)).sigmoid().unsqueeze(1)


class OnlineNorm(nn.Module):
    """Online normalisation: subtracts each bin's running mean and divides by its running standard deviation.

    Both average over all frames up to the current one, with weights that fall by the factor e in `frames` frames. The
    variance is a sum of products of deviations, which cannot cancel.

    Source: SYSTEMS.md section 5.3 (3 s); weighted Welford update.
    Departs: the weights are divided by their sum, so that the zeros before the first frame do not count.
    Shapes: (B, T, F), unchanged.
    """

    min_variance = 1e-2  # of natural log power; steady noise has 1.6, so only digital silence is below

    def __init__(self, frames: float) -> None:
        super().__init__()
        self.decay = math.exp(-1 / frames)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        batch, _, n_freq = x.shape
        old_weight, old_mean, old_variance = (memory.recall(x, batch, 1, size) for size in (1, n_freq, n_freq))
        new = 1 - self.decay
        weight = decayed_sum(torch.full_like(x[:, :, :1], new), old_weight, self.decay)
        mean = decayed_sum(new * x, old_weight * old_mean, self.decay) / weight
        before = torch.cat((old_mean, mean[:, :-1]), 1)
        products = new * (x - before) * (x - mean)
        variance = decayed_sum(products, old_weight * old_variance, self.decay) / weight
        for average in (weight, mean, variance):
            memory.keep(average[:, -1:])
        return (x - mean) / variance.clamp_min(self.min_variance).sqrt()


def decayed_sum(x: Tensor, start: Tensor, decay: float) -> Tensor:
    """Return y[t] = x[t] + decay * y[t - 1] with y[-1] = start, without a loop over frames.

    Source: Hillis & Steele 1986, prefix sums by doubling: after k rounds each frame holds the sum over 2 ** k frames.
    Shapes: x (B, T, F), start (B, 1, F) -> (B, T, F).

    >>> decayed_sum(torch.ones(1, 4, 1), torch.full((1, 1, 1), 8.0), 0.5).flatten().tolist()
    [5.0, 3.5, 2.75, 2.375]
    """
    y = torch.cat((x[:, :1] + decay * start, x[:, 1:]), 1)
    reach = 1
    while reach < y.shape[1]:
        y = torch.cat((y[:, :reach], y[:, reach:] + decay**reach * y[:, :-reach]), 1)
        reach *= 2
    return y
