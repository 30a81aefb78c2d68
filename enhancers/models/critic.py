"""Critic (discriminator) of the adversarial systems, paper [004]."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.windows import WINDOW
from clean_corpus.enhancers.models.segan import CHANNELS, Activation, down_layer, initialise


class Critic(nn.Module):
    """Network that scores a window of speech, given the noisy window: SEGAN's encoder and a linear layer.

    Only SEGAN's critic has BatchNorm: it couples the examples of a batch, which voids a gradient penalty per example.

    Source: paper [004], section 3 (discriminator); SYSTEMS.md sections 6.1, 6.2 (SEGAN) and 6.6 (no BatchNorm).
    Departs: SEGAN's virtual BatchNorm is plain BatchNorm.
    Size: GLU 48,735,082 parameters, PReLU 24,370,570, LeakyReLU with norm 24,373,082 (asserted in tests).
    Shapes: speech, noisy (B, 1, window) samples -> (B,), unbounded.
    Raises: ValueError if either is of another shape, the window does not halve len(channels) times, or kernel_size is
    even.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = CHANNELS,
        kernel_size: int = 31,
        activation: Activation = "prelu",
        norm: bool = False,
        window: int = WINDOW,
    ) -> None:
        super().__init__()
        step = 2 ** len(channels)
        if window % step:
            raise ValueError(f"window of {window} samples does not halve {len(channels)} times")
        self.window = window
        self.layers = nn.Sequential(
            *(
                down_layer(a, b, kernel_size=kernel_size, activation=activation, norm="batch" if norm else None)
                for a, b in pairwise((2, *channels))
            )
        )
        self.mix = nn.Conv1d(channels[-1], 1, 1)
        self.score = nn.Linear(window // step, 1)
        initialise(self, activation)

    def forward(self, speech: Tensor, noisy: Tensor) -> Tensor:
        for name, x in (("speech", speech), ("noisy", noisy)):
            if x.shape[1:] != (1, self.window):
                raise ValueError(f"{name} {tuple(x.shape)}: expected (B, 1, {self.window})")
        frames = self.mix(self.layers(torch.cat((speech, noisy), 1)))  # (B, 1, window / 2^levels)
        return self.score(frames).flatten()
