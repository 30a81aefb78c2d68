"""Noisy/clean pairs that systems are compared on, and the conditions: SNR, noise class, what training heard."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.quality import scorer

RATE = scorer.RATE  # Hz, of PESQ, STOI and DNSMOS
TRAINED, UNTRAINED = "trained", "untrained"

_NAME = re.compile(r"(?P<utterance>.+)__(?P<noise>.+)__(?P<snr_db>[+-]?\d+(\.\d+)?)dB")


@dataclass(frozen=True)
class Pair:
    """A noisy recording and its clean version, with noise class and SNR where the name states them.

    `speakers` and `noises` say whether speaker and noise class are trained or untrained, where that is known.
    """

    name: str
    noisy: Path
    clean: Path
    noise: str | None
    snr_db: float | None
    speakers: str | None = None
    noises: str | None = None

    @property
    def speaker(self) -> str:
        """Return the name up to its first dash or underscore."""
        return re.split("[-_]", self.name, maxsplit=1)[0]


class Condition(NamedTuple):
    """A subset of the pairs by one property, or by two joined with a slash, and its value, joined likewise.

    `by` is all, snr_db, noise, speakers, speakers/noise, noises or noises/snr_db.
    """

    by: str
    value: str


def find_pairs(root: Path) -> list[Pair]:
    """Find every noisy/NAME.wav below a folder and its clean/NAME.wav; NAME may end in __CLASS__SNRdB.

    Raises: ConfigError if there are none; DataError if a recording lacks its clean version, or rate or length differ.
    """
    folders = root / "noisy", root / "clean"
    names = sorted({path.name for folder in folders for path in folder.glob("*.wav")})
    if not names:
        raise ConfigError(f"--pairs {root}: no noisy/*.wav and clean/*.wav in this folder")
    return [_pair(*(folder / name for folder in folders)) for name in names]


def _pair(noisy: Path, clean: Path) -> Pair:
    """Return the pair of two files, whose lengths and rates must agree."""
    lengths = [_length(path) for path in (noisy, clean)]
    if lengths[0] != lengths[1]:
        raise DataError(
            f"{noisy} has {lengths[0]}, its clean version {clean} has {lengths[1]}; they must be sample-aligned"
        )
    match = _NAME.fullmatch(noisy.stem)
    if match is None:
        return Pair(noisy.stem, noisy, clean, None, None)
    return Pair(noisy.stem, noisy, clean, match["noise"], float(match["snr_db"]))


def _length(path: Path) -> str:
    """Return length and rate of a file in words that an error can quote."""
    if not path.exists():
        return "no file"
    try:
        with decode.open_recording(path, DecodeConfig(sample_rate=RATE)) as reader:
            return f"{reader.frames_in} samples at {reader.sample_rate_in_hz} Hz"
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_names(path: Path) -> frozenset[str]:
    """Read the names in a text file, one a line; empty lines and what follows a # do not count.

    Raises: ConfigError if the file cannot be read or names nothing.
    """
    try:
        lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; give a text file with one name a line") from None
    names = frozenset(line for line in lines if line)
    if not names:
        raise ConfigError(f"{path} names nothing; give a text file with one name a line")
    return names


def with_training(
    pairs: Sequence[Pair], speakers: Collection[str] | None = None, noises: Collection[str] | None = None
) -> list[Pair]:
    """Return the pairs with whether their speakers and noise classes are among those that training heard.

    Source: paper [000], tables IV and V, for speakers; paper [001], tables 3 and 4, for noises.
    Raises: ConfigError if noises are given, and a pair's name does not tell its class; if names are given, and no pair
    has one of them.
    """
    for what, names, there in (
        ("speakers", speakers, {pair.speaker for pair in pairs}),
        ("noises", noises, {pair.noise for pair in pairs if pair.noise is not None}),
    ):
        if names is not None and there and not there & set(names):
            raise ConfigError(
                f"trained {what}: {_some(names)} are given, and the pairs have {_some(there)}, none of them; give "
                f"names as the pairs have them, or leave the trained {what} out"
            )
    found = []
    for pair in pairs:
        if speakers is not None:
            pair = replace(pair, speakers=TRAINED if pair.speaker in speakers else UNTRAINED)
        if noises is not None:
            if pair.noise is None:
                raise ConfigError(
                    f"trained noises are given, but the name of {pair.noisy} does not tell its class; "
                    "rename the pair to NAME__CLASS__SNRdB.wav"
                )
            pair = replace(pair, noises=TRAINED if pair.noise in noises else UNTRAINED)
        found.append(pair)
    return found


def _some(names: Collection[str]) -> str:
    """Return the first names of many, as a message shows them."""
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


CROSSED = (("speakers", "noise"), ("noises", "snr_db"))
"""Properties whose values are also conditions in pairs, as papers [000] and [001] tabulate them."""


def conditions(pairs: Sequence[Pair]) -> dict[Condition, NDArray[np.bool_]]:
    """Return which clips (N,) belong to each condition: all pairs, each value of a property that any of them has."""
    parts = {Condition("all", ""): np.ones(len(pairs), bool)}
    for by in ("snr_db", "noise", "speakers", "noises"):
        column = [getattr(pair, by) for pair in pairs]
        for value in sorted({value for value in column if value is not None}):
            parts[Condition(by, value if isinstance(value, str) else f"{value:g}")] = np.array(
                [other == value for other in column]
            )
    for by, crossed in CROSSED:
        singles = {name: [c for c in parts if c.by == name] for name in (by, crossed)}
        for first in singles[by]:
            for second in singles[crossed]:
                both = parts[first] & parts[second]
                if both.any():
                    parts[Condition(f"{by}/{crossed}", f"{first.value}/{second.value}")] = both
    return parts
