"""Four LSTM or GRU layers on a window of frames, baselines of paper [000]."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory, expect


def context_window(x: Tensor, frames: int, memory: Memory) -> Tensor:
    """Return each frame joined to the `frames - 1` before it as one long vector, oldest first.

    Source: paper [000], section III-D (10 past frames and the current one); paper [001], section 4.2.
    Shapes: (B, T, F) -> (B, T, frames * F).

    >>> context_window(torch.tensor([[[1.0], [2.0], [3.0]]]), 2, Memory()).tolist()
    [[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]]
    """
    joined = memory.past(x, frames - 1, dim=1)
    return torch.cat([joined.narrow(1, lag, x.shape[1]) for lag in range(frames)], -1)


class Recurrent(nn.Module):
    """Recurrent layers over a window of past frames, noisy magnitude to a mask.

    Source: paper [000], section III-D; SYSTEMS.md sections 2.2 and 2.4 (four layers).
    Size: 36,811,937 parameters with LSTMs, 27,650,209 with GRUs (asserted in tests).
    Shapes: features (B, 1, T, n_freq) -> (B, 1, T, n_freq), >= 0.
    Raises: ValueError if the features have other channels or bins, or the cell is neither.
    """

    def __init__(
        self,
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        n_freq: int = 161,
        context: int = 11,
        units: int = 1024,
        layers: int = 4,
    ) -> None:
        super().__init__()
        self.n_freq, self.context = n_freq, context
        cells = {"lstm": nn.LSTM, "gru": nn.GRU}
        if cell not in cells:
            raise ValueError(f"cell {cell!r}: expected 'lstm' or 'gru'")
        self.recurrent = cells[cell](context * n_freq, units, num_layers=layers, batch_first=True)
        self.output = nn.Linear(units, n_freq)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x = context_window(features.squeeze(1), self.context, memory)  # (B, T, context * F)
        x = memory.recurrent(self.recurrent, x)
        return functional.softplus(self.output(x)).unsqueeze(1)
