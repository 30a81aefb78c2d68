"""Causal enhancers run hop by hop: with the result of the whole file, or, live, at a running level and offset."""

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.spectral import EPS, MIN_LEVEL, Spectral
from clean_corpus.enhancers.models.layers import Memory


class Stream(nn.Module):
    """Module that takes hops of samples and returns as many; its whole state goes in and comes out as tensors.

    The first call begins with sample `head`, since those before it are part of the initial state, and returns samples
    from -delay on, of which those before 0 are to be dropped. Each later call continues where the last one ended.

    Shapes: samples (1, K * hop_length), level (1, 1), state as `initial_state` -> (1, K * hop_length), state. The level
    is the RMS by which the recording is divided, 1 if the domain keeps levels.
    Raises: ValueError if the network needs the whole signal, or its domain is not a spectral one.
    """

    def __init__(self, network: nn.Module, domain: Spectral) -> None:
        super().__init__()
        if getattr(network, "attends", False) or not isinstance(domain, Spectral):
            raise ValueError(f"{type(network).__name__} needs whole signals: it cannot run hop by hop")
        self.network, self.domain = network, domain
        self.lookahead = getattr(network, "lookahead", 0)
        self.hop_length = domain.stft.hop_length
        self.head = domain.stft.n_fft // 2 - self.hop_length
        self.delay = domain.stft.n_fft // 2 + self.lookahead * self.hop_length
        """Delay of the output in samples, counted from the first call."""
        n_fft = domain.stft.n_fft
        analysis = domain.stft.analyse(torch.eye(n_fft, dtype=torch.float64))  # as matrices: exact in every runtime
        unit = torch.eye(analysis.shape[1], dtype=torch.complex128)
        synthesis = torch.stack((domain.stft.synthesise(unit), domain.stft.synthesise(1j * unit)))
        weight = domain.stft.window_of(torch.zeros(())).square()
        self.register_buffer("weight", weight[None], persistent=False)
        self.register_buffer("analysis", torch.stack((analysis.real, analysis.imag)).float(), persistent=False)
        constant = analysis.sum(0)
        self.register_buffer("constant", torch.stack((constant.real, constant.imag)).float(), persistent=False)
        self.register_buffer("synthesis", synthesis.float(), persistent=False)

    def initial_state(self, head: Tensor) -> list[Tensor]:
        """Return the state of the first call.

        Shapes: head (1, self.head), the first samples at the level of the network.
        """
        n_fft = self.domain.stft.n_fft
        memory = Memory()
        with torch.no_grad():
            self._frames(head.new_zeros(1, 1, n_fft), memory)
        silence = [torch.zeros_like(x) for x in memory.state]
        before = torch.cat((head.new_zeros(1, n_fft // 2), head), 1)
        return [before, *(head.new_zeros(1, n_fft - self.hop_length) for _ in range(2)), *silence]

    def forward(self, samples: Tensor, level: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        before, total, norm = state[:3]
        memory = Memory(state[3:])
        n_samples = samples.shape[1]
        samples = torch.cat((before, samples / level), 1)
        frames, valid = self._frames(samples.unfold(1, self.domain.stft.n_fft, self.hop_length), memory)
        total, norm = self._add(total, frames), self._add(norm, self.weight * valid)
        ready = total[:, :n_samples] / norm[:, :n_samples].clamp_min(EPS)
        return ready * level, samples[:, n_samples:], total[:, n_samples:], norm[:, n_samples:], *memory.state

    def _frames(self, frames: Tensor, memory: Memory, offset: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return cleaned frames, `lookahead` of them late, and for each 1, or 0 while none is ready.

        The offset goes from the spectrum: taken from samples, it would leave rounding in bins that hold nothing.
        Shapes: (1, K, n_fft), (1, K, 1) -> (1, K, n_fft), (1, K, 1).
        """
        parts = (frames @ basis - offset * flat for basis, flat in zip(self.analysis, self.constant, strict=True))
        spec = torch.complex(*parts)  # (1, K, F)
        output = self.network(self.domain.features(spec), memory)
        past = torch.complex(memory.delay(spec.real, self.lookahead, 1), memory.delay(spec.imag, self.lookahead, 1))
        valid = memory.delay(torch.ones_like(frames[..., :1]), self.lookahead, 1)
        estimate = self.domain.estimate(output, past)
        return (estimate.real @ self.synthesis[0] + estimate.imag @ self.synthesis[1]) * valid, valid

    def _add(self, total: Tensor, frames: Tensor) -> Tensor:
        """Overlap frames and add them to the total that earlier calls left.

        Shapes: total (1, n_fft - hop_length), frames (1, K, n_fft) -> (1, n_fft + (K - 1) * hop_length).
        """
        parts = -(-frames.shape[2] // self.hop_length)
        frames = nn.functional.pad(frames, (0, parts * self.hop_length - frames.shape[2]))
        added = sum(
            nn.functional.pad(part, (0, 0, i, parts - 1 - i)) for i, part in enumerate(frames.split(self.hop_length, 2))
        ).flatten(1)
        length = total.shape[1] + (frames.shape[1] * self.hop_length)
        return added[:, :length] + nn.functional.pad(total, (0, length - total.shape[1]))

    @torch.inference_mode()
    def run(self, x: Tensor, level: Tensor, *, hops: int = 1) -> Tensor:
        """Run a whole recording, some hops at a time.

        Shapes: x (1, N), level (1, 1) -> (1, N).
        """
        n_samples = x.shape[1]
        count = self.domain.stft.n_frames(n_samples) + self.lookahead
        wanted = self.head + count * self.hop_length
        x = nn.functional.pad(x, (0, max(0, wanted - n_samples)))[:, :wanted]
        state, parts = self.initial_state(x[:, : self.head] / level), []
        for samples in x[:, self.head :].split(hops * self.hop_length, 1):
            ready, *state = Stream.forward(self, samples, level, *state)
            parts.append(ready)
        parts.append(state[1] / state[2].clamp_min(EPS) * level)  # the end of the last frames, which no other overlaps
        return torch.cat(parts, 1)[:, self.delay : self.delay + n_samples]


HORIZON_S = 10.0  # over which the running level and the running offset are taken
START_DB, START_S = -26.0, 1.0  # dBFS of speech that was not heard yet, and for how long it counts as heard
NO_OFFSET_S = 0.1  # for how long an offset of 0 counts as heard


class RunningMean:
    """Mean of a stream's frames up to each one: call it with a number for each frame and with what it remembers.

    Source: own; exponential forgetting, beginning with `start`, which counts for `start_s` until enough is heard.
    Shapes: numbers of frames -> means, (1, K) both.
    """

    def __init__(self, frames_per_s: float, *, start: float, start_s: float) -> None:
        self.horizon, self.start, self.n_start = HORIZON_S * frames_per_s, start, start_s * frames_per_s

    def __call__(self, values: Tensor, memory: Memory) -> Tensor:
        total, count = memory.recall(values, 1, 1), memory.recall(values, 1, 1)
        means = []
        for new in values.split(1, 1):
            total, count = (x - x / self.horizon + y for x, y in ((total, new), (count, 1.0)))
            n_start = self.n_start * (1 - count / self.horizon)
            means.append((total + n_start * self.start) / (count + n_start))
        memory.keep(total)
        memory.keep(count)
        return torch.cat(means, 1)


class RunningOffset(nn.Module):
    """Offset of a stream up to each frame, as `RunningMean` of the frames' means under their window, from none on.

    Shapes: window (N,); frames (1, K, N) -> (1, K, 1), in units of the signal.
    """

    def __init__(self, frames_per_s: float, window: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", window / window.sum(), persistent=False)
        self.mean = RunningMean(frames_per_s, start=0.0, start_s=NO_OFFSET_S)

    def forward(self, frames: Tensor, memory: Memory) -> Tensor:
        return self.mean(frames @ self.weights, memory).unsqueeze(2)


class RunningLevel:
    """Level of a stream up to each frame, as `RunningMean` of its powers, beginning with speech of a usual level.

    Shapes: powers of frames -> RMS, (1, K) both.
    """

    def __init__(self, frames_per_s: float) -> None:
        self.power = RunningMean(frames_per_s, start=10 ** (START_DB / 10), start_s=START_S)

    def __call__(self, power: Tensor, memory: Memory) -> Tensor:
        return self.power(power, memory).sqrt().clamp_min(MIN_LEVEL)


class LiveStream(Stream):
    """Stream of audio whose end has not come yet: each frame at the level of what was heard up to it.

    A file is heard without its mean, at the RMS of the whole recording; of both, live audio knows the past only. From
    each frame the offset that the last frames had is taken, for good; it is divided by their level, and multiplied by
    it again before frames overlap. Domains that keep levels keep this one too. The output is multiplied by `gain`, as
    that of an `Enhancer`.

    Shapes: samples (1, K * hop_length), state as `initial_state` -> as `Stream`.
    Raises: ValueError as `Stream`.
    """

    def __init__(self, network: nn.Module, domain: Spectral, *, sample_rate: int = 16000, gain: float = 1.0) -> None:
        super().__init__(network, domain)
        self.sample_rate, self.gain = sample_rate, gain
        frames_per_s = sample_rate / self.hop_length
        self.offset_of = RunningOffset(frames_per_s, self.weight[0].sqrt())
        self.level_of = RunningLevel(frames_per_s)

    def forward(self, samples: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        ready, *state = super().forward(samples, samples.new_ones(1, 1), *state)
        return self.gain * ready, *state

    def _frames(self, frames: Tensor, memory: Memory, offset: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        offset = offset + self.offset_of(frames, memory)
        if self.domain.level != "rms":
            return super()._frames(frames, memory, offset)
        level = self.level_of((frames - offset).square().mean(2), memory).unsqueeze(2)  # (1, K, 1)
        cleaned, valid = super()._frames(frames / level, memory, offset / level)
        return cleaned * memory.delay(level, self.lookahead, 1), valid

    def run(self, x: Tensor, *, hops: int = 1) -> Tensor:
        """Run a whole recording as if it were live, some hops at a time.

        Shapes: x (1, N) -> (1, N).
        """
        return self.gain * super().run(x, x.new_ones(1, 1), hops=hops)
