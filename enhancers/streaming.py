"""A causal enhancer fed hop by hop: the same result as on the whole file, for live use and for ONNX."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from enhancers.domains import EPS, Spectral
from enhancers.layers import Memory


class Stream(nn.Module):
    """One hop of samples in, one hop of samples out; all that is remembered goes in and comes out as tensors.

    Call k (from 0) hears samples up to head + (k + 1) * hop_length and gives those from k * hop_length - delay on,
    where the first `head` samples were put into the initial state. Samples before 0 are to be dropped.

    Shapes: hop (1, hop_length), level (1, 1) the RMS that the recording is brought to 1 from (1 where the domain takes
    levels as they are; a running estimate will do for live use), state as `initial_state` -> (1, hop_length), state.
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
        """Samples by which the output is late, counted from the first call."""
        n_fft = domain.stft.n_fft
        analysis = domain.stft.analyse(torch.eye(n_fft, dtype=torch.float64))  # as products: exact in every runtime
        unit = torch.eye(analysis.shape[1], dtype=torch.complex128)
        synthesis = torch.stack((domain.stft.synthesise(unit), domain.stft.synthesise(1j * unit)))
        weight = domain.stft.window_of(torch.zeros(())).square()
        self.register_buffer("weight", weight[None], persistent=False)
        self.register_buffer("analysis", torch.stack((analysis.real, analysis.imag)).float(), persistent=False)
        self.register_buffer("synthesis", synthesis.float(), persistent=False)

    def initial_state(self, head: Tensor) -> list[Tensor]:
        """What the first call starts from.

        Shapes: head (1, self.head), the first samples at the level of the network.
        """
        n_fft = self.domain.stft.n_fft
        memory = Memory()
        with torch.no_grad():
            self._frame(head.new_zeros(1, n_fft), memory)
        silence = [torch.zeros_like(x) for x in memory.state]
        before = torch.cat((head.new_zeros(1, n_fft // 2), head), 1)
        return [before, head.new_zeros(1, n_fft), head.new_zeros(1, n_fft), *silence]

    def forward(self, hop: Tensor, level: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        before, total, norm = state[:3]
        memory = Memory(state[3:])
        samples = torch.cat((before, hop / level), 1)  # (1, n_fft)
        frame, there = self._frame(samples, memory)
        total, norm = total + frame * there, norm + self.weight * there
        ready = total[:, : self.hop_length] / norm[:, : self.hop_length].clamp_min(EPS)
        empty = torch.zeros_like(hop)
        total = torch.cat((total[:, self.hop_length :], empty), 1)
        norm = torch.cat((norm[:, self.hop_length :], empty), 1)
        return ready * level, samples[:, self.hop_length :], total, norm, *memory.state

    def _frame(self, samples: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Samples of the frame that becomes ready with these, and 0 instead of 1 as long as there is none.

        Shapes: (1, n_fft) -> (1, n_fft), (1, 1).
        """
        spec = torch.complex(*(samples[:, None] @ basis for basis in self.analysis))  # (1, 1, F)
        output = self.network(self.domain.features(spec), memory)
        past = torch.complex(memory.delay(spec.real, self.lookahead, 1), memory.delay(spec.imag, self.lookahead, 1))
        there = memory.delay(torch.ones_like(samples[:, None, :1]), self.lookahead, 1)[:, 0]
        estimate = self.domain.estimate(output, past)
        return (estimate.real @ self.synthesis[0] + estimate.imag @ self.synthesis[1])[:, 0], there

    @torch.inference_mode()
    def run(self, x: Tensor, level: Tensor) -> Tensor:
        """A whole recording hop by hop.

        Shapes: x (1, N), level (1, 1) -> (1, N).
        """
        n_frames = self.domain.stft.n_frames(x.shape[1])
        head, hops = x[:, : self.head], self.hops(x, n_frames + self.lookahead)
        state = self.initial_state(nn.functional.pad(head, (0, self.head - head.shape[1])) / level)
        parts = []
        for hop in hops:
            ready, *state = self(hop, level, *state)
            parts.append(ready)
        parts.append(state[1] / state[2].clamp_min(EPS) * level)  # of the last frames, what no other will add to
        return torch.cat(parts, 1)[:, self.delay : self.delay + x.shape[1]]

    def hops(self, x: Tensor, count: int) -> Iterator[Tensor]:
        """The samples after the head, cut into hops, with silence at the end.

        Shapes: (1, N) -> count times (1, hop_length).
        """
        wanted = self.head + count * self.hop_length
        padded = nn.functional.pad(x, (0, max(0, wanted - x.shape[1])))[:, self.head : wanted]
        yield from padded.split(self.hop_length, 1)
