"""Sample rates that a corpus may have, and the bandwidth that a recording needs to belong in one of each."""

from typing import NamedTuple

RATES_HZ = (16000, 22050, 24000, 32000, 44100, 48000)
DEFAULT_RATE = 24000


class Bandwidths(NamedTuple):
    """Least bandwidth of a recording in a corpus of one rate, and of one that is published as it came; Hz."""

    kept: float
    raw: float


BANDWIDTHS: dict[int, Bandwidths] = {
    16000: Bandwidths(5000.0, 6500.0),
    22050: Bandwidths(6500.0, 7000.0),
    24000: Bandwidths(6500.0, 7000.0),
    32000: Bandwidths(9000.0, 10000.0),
    44100: Bandwidths(13000.0, 14000.0),
    48000: Bandwidths(13000.0, 14000.0),
}
"""Rate of a corpus -> bandwidths; docs/GATE.md derives them. Recordings of two thirds of the rate belong in it."""


def nearest_rate(sample_rate: int) -> int:
    """Return the rate of a corpus that is nearest to another.

    >>> nearest_rate(20000), nearest_rate(96000)
    (22050, 48000)
    """
    return min(RATES_HZ, key=lambda rate: abs(rate - sample_rate))


def rate_that_holds(sample_rate: int) -> int:
    """Return the lowest rate of a corpus that holds all that a recording of some rate does, or else the highest.

    >>> rate_that_holds(8000), rate_that_holds(22050), rate_that_holds(192000)
    (16000, 22050, 48000)
    """
    return next((rate for rate in RATES_HZ if rate >= sample_rate), RATES_HZ[-1])
