"""DNN-IRM: dense layers on single frames to a ratio mask, baseline of paper [002]."""

from torch import Tensor, nn

from clean_corpus.enhancers.models.dae import Dense
from clean_corpus.enhancers.models.layers import Memory, expect


class DNNIRM(nn.Module):
    """Four hidden layers on single frames, noisy magnitude to the ratio mask of speech.

    Source: paper [002], section IV-A; SYSTEMS.md section 4.4.
    Size: 3,684,609 parameters (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq) -> (B, 1, T, n_freq), in [0, 1].
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    def __init__(self, *, n_freq: int = 257, hidden: tuple[int, ...] = (1024, 1024, 1024, 1024)) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.layers = Dense((n_freq, *hidden, n_freq), nn.Sigmoid())

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Tensor:
        expect(noisy_mag, channels=1, n_freq=self.n_freq)
        return self.layers(noisy_mag)
