"""DCUNET-16: deep complex U-Net without recurrent layers, baseline of paper [003]."""

from itertools import pairwise

from torch import Tensor, nn

from clean_corpus.enhancers.models.complex_layers import ComplexBatchNorm, ComplexConv, ComplexUpConv, complex_cat
from clean_corpus.enhancers.models.layers import Memory, expect

# kernels, frames x bins: three levels next to the spectrum, the others down and up
WIDE, NARROW_DOWN, NARROW_UP = (5, 7), (3, 5), (3, 6)


class DCUNet(nn.Module):
    """Deep complex U-Net with stride 1 in time, noisy complex spectrum without DC to a complex mask.

    The first six decoder layers look one frame ahead each, so the output is six frames late.

    Source: paper [003], section 3.2, after Choi et al. 2019 (arXiv:1903.03107); SYSTEMS.md section 5.2.
    Departs: the kernels are not printed; these give the paper's 3.6 M parameters and 37.5 ms. Before the first frame
    the decoder sees what its layers make of silence, not zeros, so that frames can also come one by one.
    Size: 3,604,000 parameters (asserted in tests).
    Shapes: features (B, 2, T, n_freq) -> (B, 2, T, n_freq), real and imaginary part, not bounded; channels count real
    and imaginary ones together.
    Raises: ValueError if the features have another shape, a number of channels is odd, or the bins cannot be halved
    in every layer.
    """

    def __init__(
        self,
        *,
        n_freq: int = 256,
        channels: tuple[int, ...] = (72, 72, 144, 144, 144, 160, 160, 180),
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        if n_freq % 2 ** len(channels):
            raise ValueError(f"{n_freq} bins cannot be halved {len(channels)} times")
        self.n_freq, self.lookahead = n_freq, min(6, len(channels))

        def end(width: int) -> nn.Module:
            return nn.Sequential(ComplexBatchNorm(width), nn.LeakyReLU(slope))

        self.encoder, self.encoder_ends = nn.ModuleList(), nn.ModuleList()
        self.decoder, self.decoder_ends = nn.ModuleList(), nn.ModuleList()
        for level, (shallow, deep) in enumerate(pairwise((2, *channels))):
            self.encoder.append(ComplexConv(shallow, deep, kernel=WIDE if level < 3 else NARROW_DOWN))
            self.encoder_ends.append(end(deep))
            fan_in = deep if level == len(channels) - 1 else 2 * deep
            self.decoder.insert(0, ComplexUpConv(fan_in, shallow, kernel=WIDE if level < 3 else NARROW_UP))
            self.decoder_ends.insert(0, end(shallow) if level else nn.Identity())

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=2, n_freq=self.n_freq)
        memory = memory or Memory()
        x, encoded = features, []
        for conv, end in zip(self.encoder, self.encoder_ends, strict=True):
            x = end(conv(x, memory))
            encoded.append(x)
        x = encoded.pop()
        for layer, (conv, end) in enumerate(zip(self.decoder, self.decoder_ends, strict=True)):
            if layer:
                x = complex_cat(x, memory.delay(encoded.pop(), min(layer, self.lookahead)))
            x = end(conv(x, memory))
        return x
