"""WaveNet: the network that predicts the next sample from past samples and log-mel frames."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.vocoder.distributions import MuLaw, distribution, mu_law_encode
from clean_corpus.vocoder.emphasis import emphasised
from clean_corpus.vocoder.source import LOCKED, LOOKED_BACK, Source, a_period_ago

CONDITIONING_SLOPE = 0.4  # of the leaky rectifiers
LEAST_SHARE = 1e-6  # of a class that was never met
CONDITIONED = 4  # frames on each side, more than the conditioning of a frame depends on
COSINES = 12  # over the classes; a fresh network's weights per class are sums of them


class WaveNet(nn.Module):
    """Autoregressive network from log-mel frames and past samples to the distribution of the next sample.

    It is causal in samples and not causal in frames: two convolutions and the transposed ones, which stretch frames,
    look 2 frames and a few milliseconds ahead. They make one conditioning vector for every `conditioning_hop` samples.
    Each layer projects a vector once and holds it for these samples: a layer's projection is linear, so this equals the
    projection of held vectors, and costs a `conditioning_hop`-th of it. A vector that is held needs no look at the next
    one, as interpolation would; at a millisecond it follows speech closely, since frames already average 25 ms.

    Source: van den Oord et al. 2016, sections 2.1 to 2.5; paper [004], section 3, for a WaveNet vocoder that hears
    frames ahead; SYSTEMS.md, section 6.4, for every size, since paper [004] gives none.
    Departs: leaky rectifiers also stand between the transposed convolutions; residual and skip connections are scaled
    by sqrt(0.5) and sqrt(1 / layers), which keeps activations at unit variance; `speakers` > 0 adds an embedding to the
    conditioning; the weights per class start as smooth functions of the class (`smooth_class_weights`), because
    unrelated ones need as long to find their order as the rest of a short training.
    With `emphasis` it models pre-emphasised samples, and what it speaks is de-emphasised at the end. With `harmonics` >
    0 the input of each stack has the phases of so many harmonics, and the samples a period ago, added to it
    (`Source`).
    Size: 2,251,968 parameters, 493,056 of them in the conditioning (asserted in tests).
    Shapes: x (B, N) samples as `distribution.quantised` returns them, of which sample n depends on x[:, :n];
    log_mel (B, n_mels, T + 2 * context) with N = T * hop_length and hop_length = prod(upsampling) * conditioning_hop
    samples, where the outer `context` frames on each side are heard and not spoken; speaker (B,); source (B, N, stacks,
    residual_channels) -> (B, distribution.channels, N), or the parts of `frames` frames from number first (B,) on, for
    which alone the outputs are computed then, (B, distribution.channels, frames * hop_length).
    Raises: ValueError if N is not T * hop_length, if layers do not split into stacks, or if a speaker is missing or not
    wanted.
    """

    def __init__(
        self,
        *,
        n_mels: int = 45,
        layers: int = 30,
        stacks: int = 3,
        kernel_size: int = 2,
        residual_channels: int = 64,
        gate_channels: int = 128,
        skip_channels: int = 256,
        conditioning_channels: int = 128,
        upsampling: tuple[int, ...] = (5, 4, 4),
        conditioning_hop: int = 1,
        speakers: int = 0,
        output: str = "mu-law",
        emphasis: float = 0.0,
        harmonics: int = 0,
    ) -> None:
        super().__init__()
        if layers % stacks or gate_channels % 2:
            raise ValueError(f"{layers} layers in {stacks} stacks, {gate_channels} gate channels: must divide evenly")
        if conditioning_hop < 1:
            raise ValueError(f"conditioning_hop {conditioning_hop}: at least 1 sample")
        self.distribution, self.emphasis = distribution(output), emphasis
        self.n_mels, self.vectors_per_frame, self.conditioning_hop = n_mels, math.prod(upsampling), conditioning_hop
        self.hop_length = self.vectors_per_frame * conditioning_hop
        self.layers_per_stack = layers // stacks
        self.dilations = tuple(2 ** (i % self.layers_per_stack) for i in range(layers))
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_std", torch.ones(n_mels))
        self.conditioning = Conditioning(n_mels, conditioning_channels, upsampling)
        self.source = Source(n_mels, harmonics, stacks, residual_channels) if harmonics else None
        self.speaker = nn.Embedding(speakers, conditioning_channels) if speakers else None
        categorical = isinstance(self.distribution, MuLaw)
        self.input = nn.Conv1d(self.distribution.channels if categorical else 1, residual_channels, 1)
        self.blocks = nn.ModuleList(
            Block(residual_channels, gate_channels, skip_channels, conditioning_channels, kernel_size, dilation)
            for dilation in self.dilations
        )
        self.hidden = nn.Conv1d(skip_channels, skip_channels, 1)
        self.output = nn.Conv1d(skip_channels, self.distribution.channels, 1)
        if categorical:
            with torch.no_grad():
                levels = self.distribution.levels
                self.input.weight.copy_(smooth_class_weights(levels, residual_channels).t().unsqueeze(-1))
                self.output.weight.copy_(
                    smooth_class_weights(levels, skip_channels).unsqueeze(-1) / math.sqrt(skip_channels)
                )
                self.output.bias.zero_()

    @property
    def receptive_field(self) -> int:
        """The number of past samples that the layers hear before a sample; a source looks back further."""
        return sum((block.dilated.kernel_size[0] - 1) * block.dilated.dilation[0] for block in self.blocks) + 1

    @property
    def history(self) -> int:
        """The number of frames before a segment whose samples the likelihood of its own depends on."""
        looked_back = 0 if self.source is None else max(LOOKED_BACK, LOCKED)
        return -(-(self.receptive_field + looked_back + 1) // self.hop_length)  # one more: pre-emphasis of the first

    @property
    def ahead(self) -> int:
        """The number of frames after a segment by whose samples the phase of its last ones is measured."""
        return 0 if self.source is None else -(-LOCKED // self.hop_length)

    def condition(self, log_mel: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Stretch frames to one conditioning vector for every `conditioning_hop` samples.

        Shapes: (B, n_mels, T), (B,) -> (B, conditioning_channels, T * vectors_per_frame).
        Raises: ValueError for frames of another shape, or a speaker that is missing or not wanted.
        """
        if log_mel.dim() != 3 or log_mel.shape[1] != self.n_mels:
            raise ValueError(f"log_mel {tuple(log_mel.shape)}: expected (B, {self.n_mels}, T)")
        if (speaker is None) != (self.speaker is None):
            problem = "none was given" if speaker is None else "this network was trained without speakers"
            raise ValueError(f"speaker: {problem}")
        c = self.conditioning((log_mel - self.mel_mean[:, None]) / self.mel_std[:, None])
        return c if self.speaker is None else c + self.speaker(speaker).unsqueeze(-1)

    def forward(
        self,
        x: Tensor,
        log_mel: Tensor,
        speaker: Tensor | None = None,
        *,
        context: int = 0,
        first: Tensor | None = None,
        frames: int | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        n_frames = log_mel.shape[-1] - 2 * context
        if x.shape[1] != n_frames * self.hop_length:
            raise ValueError(f"{x.shape[1]} samples, {n_frames} frames of {self.hop_length}: must be as long")
        beside = min(context, CONDITIONED)
        c = self.condition(log_mel[..., context - beside : context + n_frames + beside], speaker)
        c = c.narrow(-1, beside * self.vectors_per_frame, n_frames * self.vectors_per_frame).transpose(1, 2)
        c = c.contiguous()
        wanted = Part.of(x, first, frames, self.hop_length)
        skips = torch.stack([block.skip.bias.float() for block in self.blocks]).sum(0)
        x = self.embed(functional.pad(x[:, :-1], (1, 0)))
        for stack in range(0, len(self.blocks), self.layers_per_stack):
            blocks, gated = self.blocks[stack : stack + self.layers_per_stack], []
            if source is not None:
                x = x + source[:, :, stack // self.layers_per_stack]
            for block in blocks:
                x, y = block(x, c)
                gated.append(y)
            # in float32, since half precision would lose a part of each stack's, one rounding after another
            skips = skips + skip_product(blocks, gated, wanted).float()
        skips = (skips * math.sqrt(1 / len(self.blocks))).relu().to(self.hidden.weight.dtype)
        return pointwise(self.output, pointwise(self.hidden, skips).relu()).transpose(1, 2)

    def embed(self, x: Tensor) -> Tensor:
        """Return the input of the first block for each past sample.

        Shapes: (B, N) -> (B, N, residual_channels).
        """
        if not isinstance(self.distribution, MuLaw):
            return pointwise(self.input, x.unsqueeze(2))
        columns = self.input.weight[:, :, 0].t()  # a convolution of one-hot vectors picks columns of its weights
        classes = mu_law_encode(x, levels=self.distribution.levels)
        return functional.embedding(classes, columns) + self.input.bias

    def nll(
        self,
        x: Tensor,
        log_mel: Tensor,
        speaker: Tensor | None = None,
        *,
        context: int = 0,
        first: Tensor | None = None,
        frames: int | None = None,
    ) -> Tensor:
        """Return the negative log-likelihood of each sample in nats after pre-emphasis, (B, N), or of `frames` frames.

        Samples before frame number first (B,) are heard alone: layers pass them on, and compute no output for them. The
        likelihood of these frames is that in the whole recording if `history` frames precede and `ahead` follow them.
        """
        voice = self.source and self.source.heard(x, log_mel, self.hop_length, context)
        x = emphasised(x, self.emphasis)
        heard = self.distribution.quantised(x)
        source = self.source and self.source(self.source.phases(voice), a_period_ago(heard, voice))
        parameters = self(heard, log_mel, speaker, context=context, first=first, frames=frames, source=source)
        return self.distribution.nll(parameters.float(), Part.of(x, first, frames, self.hop_length).cut(x))

    def start_from_shares(self, shares: Tensor) -> None:
        """Set the output's bias so that a fresh network expects each class as often as it comes, (levels,)."""
        with torch.no_grad():
            self.output.bias.copy_(shares.clamp_min(LEAST_SHARE).log())


def smooth_class_weights(levels: int, channels: int) -> Tensor:
    """Draw random weights of unit variance that differ little between neighbouring classes.

    Shapes: -> (levels, channels).
    """
    order = torch.arange(COSINES)
    cosines = torch.cos(math.pi * torch.linspace(0, 1, levels).unsqueeze(1) * order) / (1 + order)
    return cosines / cosines.square().mean(0).sum().sqrt() @ torch.randn(COSINES, channels)


class Conditioning(nn.Module):
    """Network that stretches frames in time: convolutions over 3 frames, then transposed ones of twice their stride.

    Source: SYSTEMS.md, section 6.4.
    Shapes: (B, n_mels, T) -> (B, channels, T * prod(upsampling)).
    """

    def __init__(self, n_mels: int, channels: int, upsampling: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(a, channels, 3, padding=1) for a in (n_mels, channels))
        self.stretches = nn.ModuleList(
            nn.ConvTranspose1d(channels, channels, 2 * s, s, padding=(s + 1) // 2, output_padding=s % 2)
            for s in upsampling
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), CONDITIONING_SLOPE)
        for i, stretch in enumerate(self.stretches):
            x = stretch(functional.leaky_relu(x, CONDITIONING_SLOPE) if i else x)
        return x


class Block(nn.Module):
    """Residual block: a gated dilated convolution with conditioning, then a residual and a skip output.

    Channels come last, so that a layer is three matrix products: in bfloat16 on a CPU a training step takes two thirds
    of the time that Conv1d takes. Conditioning of every sample joins the product of the taps; one of several samples
    has a product of its own, whose result is held.

    Source: van den Oord et al. 2016, sections 2.3 to 2.5 and figure 4.
    Shapes: x (B, N, residual), c (B, M, conditioning) with N a multiple of M -> (B, N, residual), and what `skip` is
    applied to, (B, N, gate / 2).
    """

    def __init__(self, residual: int, gate: int, skip: int, conditioning: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(residual, gate, kernel_size, dilation=dilation)
        self.conditioning = nn.Conv1d(conditioning, gate, 1, bias=False)
        self.residual = nn.Conv1d(gate // 2, residual, 1)
        self.skip = nn.Conv1d(gate // 2, skip, 1)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        (taps,), (step,) = self.dilated.kernel_size, self.dilated.dilation
        now = x.to(c.dtype)  # autocast has converted c already
        seen = [delayed(now, tap * step) for tap in reversed(range(taps))]
        weight = self.dilated.weight.transpose(1, 2).flatten(1)
        if c.shape[1] == x.shape[1]:
            seen.append(c)
            weight = torch.cat((weight, self.conditioning.weight[:, :, 0]), 1)
        gates = functional.linear(torch.cat(seen, 2), weight, self.dilated.bias)
        if c.shape[1] != x.shape[1]:
            gates = gates.unflatten(1, (c.shape[1], -1)) + pointwise(self.conditioning, c).unsqueeze(2)
            gates = gates.flatten(1, 2)
        signal, gate = gates.chunk(2, 2)
        y = signal.tanh() * gate.sigmoid()
        half = math.sqrt(0.5)  # multiplied into the weights, which saves a pass over all samples
        passed_on = functional.linear(y, self.residual.weight[:, :, 0] * half, self.residual.bias * half)
        return torch.add(passed_on, x, alpha=half), y


def delayed(x: Tensor, by: int) -> Tensor:
    """Return x (B, N, C) later by so many samples, with zeros before."""
    by = min(by, x.shape[1])
    return functional.pad(x, (0, 0, by, -by)) if by else x


class Part(NamedTuple):
    """Samples of each row of a batch that outputs are wanted for: `length` of them from `starts` on."""

    starts: list[int]
    length: int

    @classmethod
    def of(cls, x: Tensor, first: Tensor | None, frames: int | None, hop_length: int) -> "Part":
        """Return the part from frame number first (B,) on, all samples of x (B, N) without one.

        Raises: ValueError if only one of first and frames is given, or the part reaches beyond x.
        """
        if (first is None) != (frames is None):
            raise ValueError(f"first {first}, frames {frames}: give both or none")
        if first is None or frames is None:
            return cls([0] * len(x), x.shape[1])
        starts, length = (first * hop_length).tolist(), frames * hop_length
        if min(starts) < 0 or max(starts) + length > x.shape[1]:
            raise ValueError(f"{frames} frames from {first.tolist()} on: beyond {x.shape[1]} samples")
        return cls(starts, length)

    def rows(self, x: Tensor) -> list[Tensor]:
        """Cut each row of x (B, N, ...)."""
        return [row[start : start + self.length] for row, start in zip(x.unbind(0), self.starts, strict=True)]

    def cut(self, x: Tensor) -> Tensor:
        """Cut the rows of x, (B, N, ...) -> (B, length, ...)."""
        return torch.stack(self.rows(x))


def skip_product(blocks: nn.ModuleList, gated: Sequence[Tensor], part: Part) -> Tensor:
    """Return the sum of the skip outputs of some layers, without their biases.

    One product for all of them saves reading and writing the sum for each layer.
    Shapes: each of gated (B, N, gate / 2) -> (B, part.length, skip).
    """
    weight = torch.cat([block.skip.weight[:, :, 0] for block in blocks], 1)
    rows = zip(*map(part.rows, gated), strict=True)
    return torch.stack([functional.linear(torch.cat(of_layers, 1), weight) for of_layers in rows])


def pointwise(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """Apply a convolution of kernel 1 with channels last: (B, N, in) -> (B, N, out)."""
    return functional.linear(x, conv.weight[:, :, 0], conv.bias)
