"""CNN-GRU: dilated convolutions over frequency, then GRUs over time; baseline of paper [000]."""

from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory, expect, flatten_bins


class ResidualBlock(nn.Module):
    """Residual block of two dilated convolutions over frequency.

    Source: SYSTEMS.md section 2.2.
    Shapes: (B, channels, T, F), kept.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()

        def conv_norm() -> nn.Sequential:
            conv = nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation))
            return nn.Sequential(conv, nn.BatchNorm2d(channels))

        self.path = nn.Sequential(conv_norm(), nn.LeakyReLU(), conv_norm())

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x + self.path(x))


class CNNGRU(nn.Module):
    """Convolutions over ever wider bands of one frame, then GRUs over time, noisy magnitude to a mask.

    Source: after Hasannezhad et al., APSIPA 2020, cited by paper [000], section V, without details; layers and sizes
    are those of SYSTEMS.md section 2.2.
    Size: 3,462,885 parameters (asserted in tests).
    Shapes: features (B, 1, T, n_freq) -> (B, 1, T, n_freq), >= 0.
    Raises: ValueError if the features have other channels or bins.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        channels: int = 32,
        dilations: tuple[int, ...] = (1, 2, 4, 8),
        squeezed_channels: int = 4,
        units: int = 512,
    ) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.first = nn.Conv2d(1, channels, (1, 5), padding=(0, 2))
        self.blocks = nn.ModuleList(ResidualBlock(channels, dilation) for dilation in dilations)
        self.squeeze = nn.Conv2d(channels, squeezed_channels, 1)
        self.gru = nn.GRU(squeezed_channels * n_freq, units, num_layers=2, batch_first=True)
        self.output = nn.Linear(units, n_freq)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x = functional.leaky_relu(self.first(features))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = flatten_bins(self.squeeze(sum(outputs)))  # (B, T, squeezed_channels * F)
        x = memory.recurrent(self.gru, x)
        return functional.softplus(self.output(x)).unsqueeze(1)
