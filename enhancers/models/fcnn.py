"""FCNN: convolutions over frequency only (R-CED), baseline of paper [000]."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory, expect


class FCNN(nn.Module):
    """Redundant convolutional encoder-decoder over frequency, a few past frames as channels, noisy magnitude to a mask.

    Source: R-CED with bypasses, Park & Lee, Interspeech 2017, which SYSTEMS.md section 2.2 chose: paper [000] calls
    its baseline a fully connected CNN, gives no layers and cites SEGAN for it.
    Departs: softplus on the output, as for all masks of paper [000].
    Size: 33,149 parameters (asserted in tests); 32,765 with 129 bins.
    Shapes: features (B, 1, T, n_freq) -> (B, 1, T, n_freq), >= 0.
    Raises: ValueError if the features have other channels or bins.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        context: int = 8,
        filters: tuple[int, ...] = (12, 16, 20, 24, 32, 24, 20, 16, 12),
        widths: tuple[int, ...] = (13, 11, 9, 7, 7, 7, 9, 11, 13),
    ) -> None:
        super().__init__()
        self.n_freq, self.past = n_freq, context - 1
        # frames as channels of the first layer are the same as the taps of a kernel over time
        heights = (context, *(1 for _ in filters[1:]))
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, (height, width), padding=(0, width // 2))
            for (a, b), height, width in zip(pairwise((1, *filters)), heights, widths, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in filters)
        self.last = nn.Conv2d(filters[-1], 1, (1, n_freq), padding="same")

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x, encoded, middle = memory.past(features, self.past), [], len(self.convs) // 2
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = functional.relu(norm(conv(x)))
            if i < middle:
                encoded.append(x)
            elif i > middle:
                x = x + encoded.pop()
        return functional.softplus(self.last(x))
