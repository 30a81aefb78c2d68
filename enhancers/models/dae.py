"""Deep auto-encoders of clean speech and of noise, and the dense layers of all DNNs of paper [002]."""

from itertools import pairwise

from torch import Tensor, nn

from clean_corpus.enhancers.domains.separation import Reconstruction


class Dense(nn.Module):
    """Linear layers on single frames, with BatchNorm and LeakyReLU(0.1) between them and `output` after the last.

    Source: paper [002], section IV-A; SYSTEMS.md section 4.2, Activations.
    Shapes: (*, sizes[0]) -> (*, sizes[-1]).
    """

    def __init__(self, sizes: tuple[int, ...], output: nn.Module) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes[:-1]):
            layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]), output)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(0, -2)).reshape(*x.shape[:-1], -1)  # BatchNorm1d needs frames in dimension 0


class DAE(nn.Module):
    """Auto-encoder of magnitude frames with a sparse code; the enhancers of paper [002] use its decoder.

    Source: paper [002], eq. 5 and section IV-A; SYSTEMS.md sections 4.2 and 4.5 (ReLU after the code layer).
    Size: 1,686,885 parameters; noise, hidden = (512, 512): 896,357 (asserted in tests).
    Shapes: magnitudes (*, n_freq) -> magnitudes (*, n_freq), any sign, and codes (*, code) >= 0.
    """

    def __init__(self, *, n_freq: int = 257, hidden: tuple[int, ...] = (1024, 512), code: int = 100) -> None:
        super().__init__()
        self.encoder = Dense((n_freq, *hidden, code), nn.ReLU())
        self.decoder = Dense((code, *reversed(hidden), n_freq), nn.Identity())

    def forward(self, magnitudes: Tensor) -> Reconstruction:
        codes = self.encoder(magnitudes)
        return Reconstruction(self.decoder(codes), codes)
