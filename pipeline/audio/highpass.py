"""Mean and rumble taken out of a stream, without delay and without a click where the stream begins and ends."""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Audio

CUTOFF_HZ = 30.0  # -6 dB; the deepest voices begin at 65 Hz, and hum of 50 Hz is left to the network
REACH_S = 0.128  # of the filter to either side: its transition is 20 Hz wide
_N_FFT = 2**15


def without_rumble(blocks: Iterable[Audio], *, sample_rate: int) -> Iterator[Audio]:
    """Yield a stream without what lies below 20 Hz; from 40 Hz on it is as it was, in phase too.

    Ideal high-pass, Blackman window, its sum zero: an offset goes whole. At both ends, rumble of 10 Hz leaves a
    quarter of itself. The result does not depend on the sizes of the blocks, and is as long.

    Shapes: blocks (N_i,) each, in turn -> (M_i,) each, none empty.
    """
    reach = _reach(sample_rate)
    spectrum = _transfer_function(sample_rate)
    held = np.zeros(0, np.float32)
    for block in _continued(blocks, reach):
        held = np.concatenate((held, block))
        while len(held) >= _N_FFT:
            yield _filtered(held[:_N_FFT], spectrum)[2 * reach :]
            held = held[_N_FFT - 2 * reach :]
    if len(held) > 2 * reach:
        yield _filtered(np.pad(held, (0, _N_FFT - len(held))), spectrum)[2 * reach : len(held)]


def _continued(blocks: Iterable[Audio], reach: int) -> Iterator[Audio]:
    """Yield a stream with `reach` samples before and after it that continue it."""
    held = last = np.zeros(0, np.float32)
    begun = False
    for block in blocks:
        last = np.concatenate((last, block))[-reach:]
        held = block if begun else np.concatenate((held, block))
        if begun or len(held) > reach:
            if not begun:
                yield _beyond(held[::-1][-reach:], reach)[::-1]
            begun = True
            yield held
    if len(held) and not begun:
        yield _beyond(held[::-1], reach)[::-1]
        yield held
    if len(last):
        yield _beyond(last, reach)


def _beyond(x: Audio, reach: int) -> Audio:
    """Return what continues a signal behind its end: its mirror image, to and fro where it is shorter than `reach`."""
    return np.pad(x, (0, reach), mode="symmetric")[len(x) :]


def _filtered(x: Audio, spectrum: NDArray[np.complex128]) -> Audio:
    return np.fft.irfft(np.fft.rfft(x.astype(np.float64)) * spectrum).astype(np.float32)


def _reach(sample_rate: int) -> int:
    return round(REACH_S * sample_rate)


@cache
def _transfer_function(sample_rate: int) -> NDArray[np.complex128]:
    reach = _reach(sample_rate)
    lowpass = np.sinc(2 * CUTOFF_HZ / sample_rate * np.arange(-reach, reach + 1)) * np.blackman(2 * reach + 1)
    highpass = -lowpass / lowpass.sum()
    highpass[reach] += 1.0
    return np.fft.rfft(highpass, _N_FFT)
