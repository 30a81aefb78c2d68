"""A first pass over a recording: what each of its channels holds, which of them is taken, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.pieces import Frames, Pieces
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import signal_measures

BLOCK_S = 0.05
BLOCKS_PER_PIECE = 10
LOCAL_S = 5.0
LOWEST_HZ = 80.0  # offset, rumble and most hum say nothing about the level of a voice
MAX_BLOCKS = 2**15  # in memory; of a longer recording every second block is kept, then every fourth ...
SILENT_DB = 40.0  # below the loudest channel
NOISE_DB = 10.0  # a channel whose loud moments are no more above its quiet ones holds no speech
WORSE_DB = 10.0  # ... and one that holds the same speech over a background so much higher is not taken either
CONTRAST_DB = 40.0  # more says how digital the silence is and not how good the recording
CLIPPED = 5e-4
DROPPED = 0.02  # share of the sound of another channel during which one is zero
ZERO = 1e-24  # power of a block: digital silence, or an offset and nothing else
CANCELLED = 0.1  # share of the sound that the mean of the channels loses by half or more
SAME_SOUND = 0.5  # correlation of two channels' envelopes


@dataclass(frozen=True)
class Survey:
    """What a recording holds: for each channel its mean, share of clipped samples, and whether all are numbers.

    `power` has a row for each `block_s` seconds, of 50 ms of each channel and in the last column of their mean, above
    80 Hz; `step` is the quantisation step.
    """

    mean: NDArray[np.float64]
    clipping_ratio: NDArray[np.float64]
    finite: NDArray[np.bool_]
    power: NDArray[np.float64]
    step: float
    block_s: float

    def level_db(self, column: int) -> float:
        """Return the level of the loud moments of a channel, of the mean with -1, dB; -inf for silence.

        It is that of the fifth loudest block, or of the one at the hundredth part of a long recording: neither a click
        nor long pauses change it.
        """
        return float(_db(self._ranked(column, max(4, len(self.power) // 100))))

    def levels_db(self, column: int) -> NDArray[np.float64]:
        """Return the level of the loud moments of a channel around each 5 s of the recording, in 15 s, dB.

        Shapes: -> (ceil(duration / 5 s),), one at least; it is for the middle of its 5 s.
        """
        times_s = (np.arange(len(self.power)) + 0.5) * self.block_s
        count = max(1, int(np.ceil(len(self.power) * self.block_s / LOCAL_S)))
        edges = np.searchsorted(times_s, [((i - 1) * LOCAL_S, (i + 2) * LOCAL_S) for i in range(count)])
        stretches = [np.sort(self.power[first:end, column])[::-1] for first, end in edges]
        return np.array([_db(float(falling[len(falling) // 50]) if len(falling) else 0.0) for falling in stretches])

    def contrast_db(self, column: int) -> float:
        """Return the level of the loud moments above the tenth part of all blocks that is quietest, dB up to 40."""
        return min(CONTRAST_DB, self.level_db(column) - self.background_db(column))

    def background_db(self, column: int) -> float:
        """Return the level that a tenth of all blocks does not reach, dB; -inf for digital silence."""
        return float(_db(self._ranked(column, len(self.power) * 9 // 10)))

    def _ranked(self, column: int, rank: int) -> float:
        falling = np.sort(self.power[:, column])[::-1]
        return float(falling[min(rank, len(falling) - 1)]) if len(falling) else 0.0


def survey(frames: Iterable[Frames], sample_rate: int, n_channels: int) -> Survey:
    """Read a recording once and say what its channels hold; one that breaks off is described as far as it goes.

    Shapes: frames (N_i, n_channels) each, in turn.
    """
    pieces = Pieces(BLOCKS_PER_PIECE * round(BLOCK_S * sample_rate))
    found = _Sums(sample_rate, n_channels)
    try:
        for some in frames:
            for piece in pieces.push(some):
                found.add(piece)
    except (DataError, OSError):  # who reads it next learns of it
        pass
    for piece in pieces.flush():
        found.add(piece)
    return found.survey()


class _Sums:
    """Sums over the pieces of a recording, and the powers of its blocks, thinned out where they are too many."""

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        self._length = round(BLOCK_S * sample_rate)
        self._lowest = int(np.ceil(LOWEST_HZ * self._length / sample_rate))
        self._window = np.hanning(self._length + 1)[:-1]
        self._n_samples, self._step = 0, 1.0
        self._sum, self._clipped = np.zeros(n_channels), np.zeros(n_channels)
        self._finite = np.ones(n_channels, np.bool_)
        self._power: list[NDArray[np.float64]] = []
        self._stride, self._n_blocks = 1, 0

    def add(self, piece: Frames) -> None:
        x = np.ascontiguousarray(piece.T)  # (C, N): sums over the samples of a channel are four times as fast
        finite = np.isfinite(x)
        if not finite.all():
            self._finite &= finite.all(axis=1)
            x = np.where(finite, x, np.float32(0))
        self._n_samples += x.shape[1]
        self._sum += x.sum(axis=1, dtype=np.float64)
        if self._step:
            self._step = min(self._step, signal_measures.quantisation_step(x))
        if len(x) > 1:
            self._clipped += [signal_measures.clipped_samples(channel, step=self._step) for channel in x]
        powers = self._powers(x)
        self._power += [power for i, power in enumerate(powers, self._n_blocks) if i % self._stride == 0]
        self._n_blocks += len(powers)
        if len(self._power) > MAX_BLOCKS:
            self._power, self._stride = self._power[::2], 2 * self._stride

    def _powers(self, x: Frames) -> NDArray[np.float64]:
        """Return the power of each block, of each channel and of their mean, (T, C + 1); one block at least."""
        n_blocks = x.shape[1] // self._length
        if n_blocks == 0:
            x = np.pad(x - x.mean(axis=1, keepdims=True), ((0, 0), (0, self._length - x.shape[1])))
            n_blocks = 1
        blocks = x[:, : n_blocks * self._length].reshape(len(x), n_blocks, self._length)
        spectrum = np.fft.rfft(blocks * self._window)[..., self._lowest :]  # (C, T, F); the window keeps an offset out
        spectrum = np.concatenate((spectrum, spectrum.mean(axis=0, keepdims=True)))
        power = np.square(spectrum.real).sum(axis=-1) + np.square(spectrum.imag).sum(axis=-1)
        return 2 * power.T / (self._length * np.square(self._window).sum())

    def survey(self) -> Survey:
        n_samples = max(1, self._n_samples)
        power = np.array(self._power).reshape(-1, len(self._sum) + 1)
        block_s = self._stride * BLOCK_S
        return Survey(self._sum / n_samples, self._clipped / n_samples, self._finite, power, self._step, block_s)


def choose(found: Survey, setting: Literal["mix"] | int) -> tuple[Literal["mix"] | int, str | None]:
    """Return what is taken of a recording, a channel's number or the mix, and why where the setting does not say so.

    A channel that is broken, silent, clipped, noisy or drops out is not mixed into one that is not; where the channels
    cancel, the loudest is taken. Channels that hold different sounds, as two speakers of a call, are mixed.
    """
    n_channels = len(found.mean)
    if setting != "mix":
        return setting, None
    if n_channels == 1:
        return 0, None
    level = np.array([found.level_db(channel) for channel in range(n_channels)])
    left = np.ones(n_channels, np.bool_)
    faults: list[str] = []
    for fault in (_broken, _silent, _dropping, _clipped, _noisy):
        for channel, text in fault(found, level, left):
            left[channel] = False
            faults.append(f"channel {channel} {text}")
    loudest = int(np.argmax(np.where(left, level, -np.inf)))
    if faults and left.any():
        return loudest, "; ".join(faults)
    if left.any() and (share := _cancelled(found, loudest)) > CANCELLED:
        return loudest, f"channels cancel: {share:.0%} of the sound is lost in their mix"
    return "mix", None


def mono(frames: Frames, sample_rate: int) -> Audio:
    """Return one channel of a recording that lies in memory, as `choose` takes it.

    Shapes: frames (N, C) -> (N,).
    """
    if frames.shape[1] == 1:
        return frames[:, 0]
    channel, _ = choose(survey([frames], sample_rate, frames.shape[1]), "mix")
    return frames.mean(axis=1) if channel == "mix" else frames[:, channel]


Faults = list[tuple[int, str]]


def _broken(found: Survey, _: NDArray[np.float64], left: NDArray[np.bool_]) -> Faults:
    return [(int(c), "holds samples that are not finite") for c in np.flatnonzero(~found.finite & left)]


def _silent(_: Survey, level: NDArray[np.float64], left: NDArray[np.bool_]) -> Faults:
    loudest = level[left].max(initial=-np.inf)
    if not np.isfinite(loudest):
        return []
    silent = [int(c) for c in np.flatnonzero(left) if level[c] < loudest - SILENT_DB]
    return [(c, "is silent" if np.isinf(level[c]) else f"is silent: {loudest - level[c]:.0f} dB lower") for c in silent]


def _dropping(found: Survey, level: NDArray[np.float64], left: NDArray[np.bool_]) -> Faults:
    """Return the channels that are zero while one that holds the same sound is not."""
    share: dict[int, float] = {}
    zero = found.power[:, :-1] <= ZERO
    for c in map(int, np.flatnonzero(left)):
        loud = np.zeros(len(zero), np.bool_)
        for o in map(int, np.flatnonzero(left)):
            least_db = max(level[o] - 20, found.background_db(o) + 10)
            loud |= (o != c) & (found.power[:, o] > 10 ** (least_db / 10))
        share[c] = float(zero[loud, c].mean()) if loud.any() else 0.0
    best = min(share, key=lambda c: share[c], default=0)
    return [
        (c, f"drops out for {dropped:.0%} of the sound")
        for c, dropped in share.items()
        if dropped > max(DROPPED, 4 * share[best]) and _same_sound(found, c, best, ~zero[:, c])
    ]


def _clipped(found: Survey, level: NDArray[np.float64], left: NDArray[np.bool_]) -> Faults:
    if not left.any():
        return []
    best = int(np.argmin(np.where(left, found.clipping_ratio, np.inf)))
    return [
        (int(c), f"is clipped: {found.clipping_ratio[c]:.2g} of its samples")
        for c in np.flatnonzero(left)
        if found.clipping_ratio[c] > max(CLIPPED, 4 * found.clipping_ratio[best]) and _same_sound(found, int(c), best)
    ]


def _noisy(found: Survey, level: NDArray[np.float64], left: NDArray[np.bool_]) -> Faults:
    contrast = {int(c): found.contrast_db(int(c)) for c in np.flatnonzero(left) if np.isfinite(level[c])}
    best = max(contrast, key=lambda c: contrast[c], default=0)
    return [
        (c, f"is noisy: its speech is {db:.0f} dB above its background, {contrast[best]:.0f} dB in channel {best}")
        for c, db in contrast.items()
        if db < contrast[best] - WORSE_DB and (db < NOISE_DB or _same_sound(found, c, best))
    ]


def _same_sound(found: Survey, one: int, other: int, where: NDArray[np.bool_] | slice = slice(None)) -> bool:
    envelopes = np.sqrt(found.power[where][:, [one, other]])
    spread = envelopes.std(axis=0) if len(envelopes) else np.zeros(2)
    if not spread.all():
        return True
    deviation = envelopes - envelopes.mean(axis=0)
    return bool((deviation[:, 0] * deviation[:, 1]).mean() > SAME_SOUND * spread.prod())


def _cancelled(found: Survey, loudest: int) -> float:
    """Return the share of the loudest channel's power in blocks whose mean has half the power that unlike ones have."""
    power = found.power[:, loudest]
    unlike = found.power[:, :-1].sum(axis=1) / len(found.mean) ** 2
    total = power.sum()
    return float(power[found.power[:, -1] < unlike / 2].sum() / total) if total else 0.0


def _db(power: float) -> float:
    return 10 * np.log10(power) if power > 0 else -np.inf
