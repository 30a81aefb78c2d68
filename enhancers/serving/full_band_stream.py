"""Live audio at 48 kHz, hop by hop: a causal enhancer of 16 kHz and the network of the band above it as one module."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.domains.high_band import FIRST_BIN, LOW_RATE, HighBand, power_features
from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.serving.fixed_filters import RATIO, REACH, Dft, Down, Up
from clean_corpus.enhancers.serving.streaming import LiveStream, RunningLevel, RunningOffset

RATIOS = (RATIO, 1, 1)
"""Rates of the bands of a `high_band.Split`, re 16 kHz."""


class FullBandStream(nn.Module):
    """Module that takes hops of samples at 48 kHz and returns as many; its state goes in and comes out as tensors.

    `low` is the signal decimated to 16 kHz, `high` what is left when `low`, interpolated again, is taken away: their
    sum is the signal, whatever the filters. The enhancer's own stream cleans `low`; frames of `high`, of `low` and of
    what became of it are the input of the upper network, whose gains, at most 1, treat those of `high`.

    A call takes one hop of the enhancer. The upper network's frames, one every 16 ms, are due in some calls only where
    that hop is no multiple of theirs; in the others it runs too, and its result and its state are dropped.

    Source: own.
    Shapes: samples (1, K * hop_length), state as `initial_state` -> as `streaming.Stream`, whose `head` and `delay` it
    has; all at 48 kHz.
    Raises: ValueError if the enhancer does not work at 16 kHz, or the upper network needs the whole signal.
    """

    def __init__(self, enhancer: LiveStream, network: nn.Module, domain: HighBand) -> None:
        super().__init__()
        if enhancer.sample_rate != LOW_RATE:
            raise ValueError(f"the enhancer works at {enhancer.sample_rate} Hz, the band above it needs {LOW_RATE}")
        if getattr(network, "attends", False):
            raise ValueError(
                f"{type(network).__name__} needs whole signals: it cannot run hop by hop; take one of full-band-causal"
            )
        self.enhancer, self.network, self.domain = enhancer, network, domain
        self.down, self.up = Down(), Up()
        self.dft = Dft(domain.stft.n_fft, rows=32, first_bin=FIRST_BIN)
        self.low_dft = Dft(domain.low_stft.n_fft, rows=16)
        like = torch.zeros(())
        window = domain.stft.window_of(like)
        overlap = window.square().view(2, -1).sum(0).repeat(2)
        low_window = domain.low_stft.window_of(like)
        self.energy = float(window.square().sum())
        low_window = low_window * (self.energy / low_window.square().sum()).sqrt()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("synthesis_window", window / overlap, persistent=False)
        self.register_buffer("low_window", low_window, persistent=False)
        frames_per_s = LOW_RATE / domain.low_stft.hop_length
        self.offset_of, self.level_of = RunningOffset(frames_per_s, low_window), RunningLevel(frames_per_s)

        # times and lengths below are in samples at 16 kHz: all of them are whole there
        self.frame_hop, self.ahead = domain.low_stft.hop_length, enhancer.head + enhancer.delay
        step = math.gcd(enhancer.hop_length, self.frame_hop)
        self.least_rest = -enhancer.delay % step
        rest = self.frame_hop - step + self.least_rest
        self.late = self.frame_hop + rest
        """Time from what the enhancer has ready to what frames have ready, where most of it waits for a frame."""
        self.past_low = enhancer.delay + 2 * self.frame_hop
        self.past_cleaned = max(2 * self.frame_hop, self.late + REACH)
        self.steady = self.frame_hop * math.ceil(self.past_low / self.frame_hop)
        self.hop_length = RATIO * enhancer.hop_length
        self.head = RATIO * (enhancer.head + REACH)
        self.delay = RATIO * (enhancer.delay + self.late)
        """Delay of the output in samples, counted from the first call."""
        self.n_enhancer = len(enhancer.initial_state(torch.zeros(1, enhancer.head))) - 1

    def initial_state(self, head: Tensor) -> list[Tensor]:
        """Return the state of the first call: zeros but for the first samples, which end the first tensor.

        Shapes: head (1, self.head).
        """
        enhancer = self.enhancer.initial_state(head.new_zeros(1, self.enhancer.head))[1:]
        with torch.no_grad():
            _, upper = self._treated_frame(*(head.new_zeros(1, k * 2 * self.frame_hop) for k in RATIOS), [])
        lengths = (self.past_low, 1, self.past_cleaned, 2 * RATIO * self.frame_hop, RATIO * self.late)
        before = functional.pad(head, (RATIO * (self.ahead + REACH) - self.head, 0))
        return [before, *(head.new_zeros(1, n) for n in lengths), *enhancer, *map(torch.zeros_like, upper)]

    def forward(self, samples: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        past_x, past_low, clock, past_cleaned, past_high, past_total, *others = state
        n, ahead = samples.shape[1] // RATIO, self.ahead
        x = torch.cat((past_x, samples), 1)
        new = self.down(x[:, -RATIO * (n + self.enhancer.head + 2 * REACH) :])
        low = torch.cat((past_low, new), 1)  # up to the newest sample
        cleaned, others = self._cleaned(low, n, clock, others)
        cleaned = torch.cat((past_cleaned, cleaned), 1)  # up to `ahead` samples before that, as all that follows
        around = low[:, low.shape[1] - n - ahead - REACH : low.shape[1] - ahead + REACH]
        high = torch.cat((past_high, x[:, : RATIO * n] - self.up(around)), 1)
        total = functional.pad(past_total, (0, RATIO * n))
        bands = high, low[:, : n + 2 * self.frame_hop], cleaned[:, self.past_cleaned - 2 * self.frame_hop :]
        total, memory = self._treated(total, bands, clock + n - self.enhancer.delay, others[self.n_enhancer :])
        first = self.past_cleaned - self.late
        ready = self.up(cleaned[:, first - REACH : first + n + REACH]) + total[:, : RATIO * n]
        x, high, total = (signal[:, RATIO * n :] for signal in (x, high, total))
        past = x, low[:, n : n + self.past_low], self._clock(clock + n), cleaned[:, n:], high, total
        return ready, *past, *others[: self.n_enhancer], *memory

    def _cleaned(self, low: Tensor, n: int, clock: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run the enhancer over the last `n` samples; what it has ready from before the signal began becomes zero."""
        before = low[:, low.shape[1] - n - self.enhancer.domain.stft.n_fft + self.enhancer.hop_length : -n]
        cleaned, _, *after = self.enhancer(low[:, -n:], before, *state[: self.n_enhancer])
        begun = torch.arange(n, device=low.device) + clock >= self.enhancer.delay
        return cleaned * begun, [*after, *state[self.n_enhancer :]]

    def _clock(self, time: Tensor) -> Tensor:
        """Return the time since the first call, from some moment on modulo the hop of frames: it never loses digits."""
        return torch.minimum(time, self.steady + time.remainder(self.frame_hop))

    def _treated(
        self, total: Tensor, bands: tuple[Tensor, Tensor, Tensor], time: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Add the frames that are complete now, treated, to the total of frames.

        Shapes: total (1, RATIO * (n + late)), bands as `high_band.Split` of 2 * frame_hop samples before the new ones
        and the new ones, time (1, 1) at their end.
        """
        n, hop = bands[1].shape[1] - 2 * self.frame_hop, self.frame_hop
        rest = time.remainder(hop)
        places = torch.arange(total.shape[1], device=total.device)
        for number in reversed(range(math.ceil((n - self.least_rest) / hop))):
            first = n - rest - number * hop  # of the frame, in `bands`
            due = (first > 0) & (time - rest - number * hop >= hop)
            begin = first.clamp_min(0).long().squeeze(1)
            frames = (
                x.index_select(1, k * begin + torch.arange(2 * k * hop, device=x.device))
                for x, k in zip(bands, RATIOS, strict=True)
            )
            treated, after = self._treated_frame(*frames, state)
            shift = RATIO * (begin + self.late - 2 * hop)
            inside = (places - shift + 1).clamp(0, treated.shape[1] + 1)
            total = total + functional.pad(treated, (1, 1)).index_select(1, inside) * due
            state = [torch.where(due.view((1,) * x.dim()), x, y) for x, y in zip(after, state, strict=True)]
        return total, state

    def _treated_frame(
        self, high: Tensor, low: Tensor, cleaned: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return a frame of the upper band under the network's gains, windowed for the overlap, and the next state."""
        memory = Memory(state)
        low = low - self.offset_of(low.unsqueeze(1), memory).squeeze(2)
        level = self.level_of(low.square().mean(1, keepdim=True), memory)
        windowed = high * self.window
        spec = self.dft.analyse(windowed)
        below = self.low_dft.analyse(torch.cat((low, cleaned)) * self.low_window)
        powers = self._power(spec, level), *self._power(below, level).split(1)
        gains = self.network(*power_features(*(x.unsqueeze(1) for x in powers)), memory).flatten(1)
        change = self.dft.synthesise(*((gains - 1) * x for x in spec))
        return (windowed + change) * self.synthesis_window, memory.state

    def _power(self, spec: tuple[Tensor, Tensor], level: Tensor) -> Tensor:
        """Return the power of bins re that of white noise at the level; both windows have one energy."""
        real, imag = spec
        return (real.square() + imag.square()) / (self.energy * level.square())

    @torch.inference_mode()
    def run(self, x: Tensor, *, hops: int = 1) -> Tensor:
        """Run a whole recording as if it were live, some hops at a time, followed by silence until its end is out.

        Shapes: x (1, N) -> (1, N).
        """
        n_samples, taken = x.shape[1], hops * self.hop_length
        count = -(-(n_samples + self.delay) // taken)
        x = functional.pad(x, (0, max(0, self.head + count * taken - n_samples)))
        state, parts = self.initial_state(x[:, : self.head]), []
        for samples in x[:, self.head : self.head + count * taken].split(taken, 1):
            ready, *state = self.forward(samples, *state)
            parts.append(ready)
        return torch.cat(parts, 1)[:, self.delay : self.delay + n_samples]
